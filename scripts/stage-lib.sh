#!/usr/bin/env bash
# stage-lib.sh BUILD_DIR LIB_DIR: links liboffhook.so and its SONAME into LIB_DIR, because the loader searches for the
# SONAME only. The library is linked from the archive in BUILD_DIR, as shipped (link-lib.sh); with AddressSanitizer it
# is the one linked by rustc.
set -euo pipefail
build=$(cd "$1" && pwd)
mkdir -p "$2"
case $build in
  */asan/*) lib=$build/liboffhook.so ;;
  *) lib=$("$(dirname "$0")"/link-lib.sh "$build") ;;
esac
[ -e "$lib" ] || { echo "stage-lib: $lib is not built" >&2; exit 1; }
soname=$(readelf -d "$lib" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
if [ "$soname" != liboffhook.so.1 ]; then
  echo "stage-lib: SONAME is '${soname:-none}', expected liboffhook.so.1" >&2
  exit 1
fi
ln -sfn "$lib" "$2/liboffhook.so"
ln -sfn "$lib" "$2/$soname"
