#!/usr/bin/env bash
# build.sh [cargo's options]: builds the library, the program offhook, the development SFU and the tools with one profile and one set of
# features, so that every crate is compiled once, and puts them into target/built. Use them from there: tests build
# programs of the same names into cargo's own directory. Release binaries are built without local paths by
# scripts/build-ship.sh (`make dist`).
set -euo pipefail
cd "$(dirname "$0")/.."
${CARGO:-cargo} build --release --locked --workspace --lib --bins "$@"
mkdir -p target/built
for file in liboffhook.a liboffhook.rlib offhook-{sfu,bench,demo,livekit,soak}; do
  [ target/release/$file -ef target/built/$file ] || ln -f target/release/$file target/built/$file
done
scripts/stage-lib.sh target/built target/lib
scripts/build-cli.sh target/built >/dev/null
