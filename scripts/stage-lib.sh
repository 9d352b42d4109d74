#!/usr/bin/env bash
# stage-lib.sh BUILD_DIR LIB_DIR: links liboffhook.so and its SONAME into LIB_DIR, because cargo
# writes no file of the SONAME's name and the loader looks for nothing else.
set -euo pipefail
build=$(cd "$1" && pwd)
mkdir -p "$2"
[ -e "$build/liboffhook.so" ] || { echo "stage-lib: $build/liboffhook.so is not built" >&2; exit 1; }
soname=$(readelf -d "$build/liboffhook.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
if [ "$soname" != liboffhook.so.0 ]; then
  echo "stage-lib: SONAME is '${soname:-none}', expected liboffhook.so.0" >&2
  exit 1
fi
ln -sfn "$build/liboffhook.so" "$2/liboffhook.so"
ln -sfn "$build/liboffhook.so" "$2/$soname"
