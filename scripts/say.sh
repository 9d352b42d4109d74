#!/bin/sh
# One line that says what happens next; bold on a terminal.
if [ -t 1 ]; then printf '\n\033[1m== %s\033[0m\n' "$*"; else printf '\n== %s\n' "$*"; fi
