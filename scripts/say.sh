#!/bin/sh
# Prints the name of the next step; bold on a terminal.
if [ -t 1 ]; then printf '\n\033[1m== %s\033[0m\n' "$*"; else printf '\n== %s\n' "$*"; fi
