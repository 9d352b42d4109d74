#!/bin/bash
# The benchmark, optimised: scripts/with-sfu.sh bindings/swift/bench/run.sh [SECONDS]
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
exec "$here/../support/with-swift.sh" bash -c '
  cd "$1/.." && swift build -c release --product bench --scratch-path "$2/target/swift-build" >&2 &&
    exec "$(swift build -c release --show-bin-path --scratch-path "$2/target/swift-build")/bench" "${3:-5}"' \
  bench "$here" "$root" "$@"
