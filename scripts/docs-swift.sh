#!/usr/bin/env bash
# docs-swift.sh OUT: adds the reference of the Swift binding, made by DocC, to the pages in OUT, as OUT/swift-docc. Its pages
# need a web server (`python3 -m http.server -d OUT`). Where no Swift toolchain is installed (on PATH, or the tree that
# `make test-swift` makes), one line that begins with SKIPPED, and exit code 77.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(cd "$1" && pwd)
if ! command -v swift >/dev/null && [ ! -e "${OFFHOOK_SWIFT_CHROOT:-target/swift-chroot}/.offhook-swift-ready" ]; then
  echo "SKIPPED: docs: no DocC pages of the Swift binding without a Swift toolchain (make test-swift installs one)"
  exit 77
fi
bindings/swift/support/with-swift.sh "$PWD/bindings/swift/support/docc.sh" "$PWD/target/docs-swift"
rm -rf "$out/swift-docc"
mv target/docs-swift "$out/swift-docc"
