#!/usr/bin/env bash
# stage-lib.sh BUILD_DIR LIB_DIR: links liboffhook.so and its SONAME into LIB_DIR, because cargo
# writes no file of the SONAME's name and the loader looks for nothing else. Of a release it is the library as it is
# shipped, with versions (link-lib.sh); of other builds the one that cargo has linked.
set -euo pipefail
build=$(cd "$1" && pwd)
mkdir -p "$2"
[ -e "$build/liboffhook.so" ] || { echo "stage-lib: $build/liboffhook.so is not built" >&2; exit 1; }
case $build in
  */release) lib=$("$(dirname "$0")"/link-lib.sh "$build") ;;
  *) lib=$build/liboffhook.so ;;
esac
soname=$(readelf -d "$lib" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
if [ "$soname" != liboffhook.so.0 ]; then
  echo "stage-lib: SONAME is '${soname:-none}', expected liboffhook.so.0" >&2
  exit 1
fi
ln -sfn "$lib" "$2/liboffhook.so"
ln -sfn "$lib" "$2/$soname"
