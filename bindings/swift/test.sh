#!/bin/bash
# Tests of the Swift binding; beside a development SFU: scripts/with-sfu.sh bindings/swift/test.sh [swift test options]
# Exits 77 with a line that begins with SKIPPED where no Swift toolchain can be had.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/support/with-swift.sh" "$here/support/run-tests.sh" "$@"
