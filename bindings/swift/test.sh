#!/bin/bash
# Tests of the Swift binding; beside a development SFU: scripts/with-sfu.sh bindings/swift/test.sh [swift test options]
# Exits 77 with a line that begins with SKIPPED where no Swift toolchain is available.
here=$(cd "$(dirname "$0")" && pwd)
# The header as a later release might have it, for the tests that are built with it; Python may be missing beside Swift.
root=$(cd "$here/../.." && pwd)
stage=${OFFHOOK_STAGE:-$root/target/stage} later=$root/target/swift-later
rm -rf "$later" && mkdir -p "$later" && cp -a "$stage/include" "$stage/lib" "$later/" || exit 1
python3 "$root/tests/abi/newer.py" "$root/include/offhook.h" "$later/include/offhook.h" || exit 1
sed -i "s|$stage|$later|g" "$later/lib/pkgconfig/offhook.pc" || exit 1
exec "$here/support/with-swift.sh" "$here/support/run-tests.sh" "$@"
