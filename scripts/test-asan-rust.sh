#!/usr/bin/env bash
# Runs the library's unit tests under AddressSanitizer, in target/asan (see build-asan.sh). Tests of allocation counts
# and of fork are meaningless there and left out; so are the SFU and the tools, which are not shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" RUST_BACKTRACE=0 \
  ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 \
  cargo test -p offhook --lib --target "$target" --target-dir target/asan -- "$@"
