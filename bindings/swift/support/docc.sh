#!/bin/bash
# Builds the reference of the Swift binding with DocC, as a folder for a web server:
#
#   bindings/swift/support/with-swift.sh $PWD/bindings/swift/support/docc.sh OUT [BASE_PATH]
#
# OUT/index.html and OUT/documentation/offhook/ are the pages, below BASE_PATH (default: swift-docc) of the server. Only the
# header is needed, not the library. Exits 77 where the toolchain has no docc.
set -euo pipefail
package=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$package/../.." && pwd)
out=$1 base=${2:-swift-docc}
swift=$(readlink -f "$(command -v swift)")
docc=$(command -v docc || echo "$(dirname "$swift")/docc")
[ -x "$docc" ] || { echo "SKIPPED: DocC: this Swift toolchain has no docc" >&2; exit 77; }
scratch=$root/target/swift-docc
graphs=$scratch/graphs
rm -rf "$graphs" "$out" && mkdir -p "$graphs"
printf 'Name: offhook\nDescription: the header alone\nVersion: 0\nCflags: -I%s\n' "$root/include" >"$scratch/offhook.pc"
export PKG_CONFIG_PATH=$scratch
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cd "$package"
# The symbol graph is written when the module is compiled, so it is always compiled anew.
rm -rf "$scratch/build"
swift build --target Offhook --scratch-path "$scratch/build" -Xswiftc -emit-symbol-graph -Xswiftc -emit-symbol-graph-dir -Xswiftc "$graphs" \
  >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
rm -f "$graphs"/COffhook* 
"$docc" convert --additional-symbol-graph-dir "$graphs" --fallback-display-name Offhook --fallback-bundle-identifier offhook \
  --output-path "$out" --transform-for-static-hosting --hosting-base-path "$base" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
grep -E 'warning: ' "$log" | head -20 >&2 || true
[ -s "$out/documentation/offhook/call/index.html" ] || { cat "$log" >&2; echo "docc.sh: no page of Call" >&2; exit 1; }
echo "ok DocC: $(find "$out/documentation" -name index.html | wc -l) pages"
