#!/usr/bin/env bash
# build.sh [cargo's options]: builds the library, the development SFU and the tools with one profile and one set of
# features, so that every crate is compiled once, and puts them into target/built. Who uses them takes them from there:
# tests that build programs of the same names write into cargo's own directory. What is handed out has its paths taken
# off besides (scripts/build-ship.sh, for `make dist`).
set -euo pipefail
cd "$(dirname "$0")/.."
${CARGO:-cargo} build --release --locked --workspace --lib --bins "$@"
mkdir -p target/built
for file in liboffhook.a liboffhook.rlib offhook-{sfu,bench,demo,livekit,soak}; do
  [ target/release/$file -ef target/built/$file ] || ln -f target/release/$file target/built/$file
done
scripts/stage-lib.sh target/built target/lib
