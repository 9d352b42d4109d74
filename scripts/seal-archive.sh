#!/usr/bin/env bash
# seal-archive.sh BUILD_DIR: makes BUILD_DIR/sealed/liboffhook.a from liboffhook.a, and prints its path. Does nothing if
# it is newer than the archive and the header.
#
# Cargo's archive contains thousands of global symbols, among them those of Opus, ring and the Rust library. A program
# with its own Opus would not link, or would link and the library would call the program's Opus. The sealed archive is
# one object in which only oh_* is global; code that no function of the header reaches is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
archive=$build/liboffhook.a out=$build/sealed/liboffhook.a
[ -e "$archive" ] || { echo "seal-archive: $archive is not built: make build" >&2; exit 1; }

if [ ! -e "$out" ] || [ "$archive" -nt "$out" ] || [ include/offhook.h -nt "$out" ] || [ scripts/seal-archive.sh -nt "$out" ]; then
  mkdir -p "$build/sealed"
  work=$(mktemp -d "$build/sealed/.work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  functions=$(echo '#include "offhook.h"' | ${CC:-cc} -x c -std=c99 -Iinclude -E -P - | grep -v 'static inline' |
    grep -oE '\boh_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u)
  [ -n "$functions" ] || { echo "seal-archive: include/offhook.h declares no function" >&2; exit 1; }
  roots=()
  for function in $functions; do roots+=("-Wl,-u,$function"); done
  # COMDAT groups are matched by name, local or not. As plain sections they cannot collide with another library's.
  # gc-sections removes what the roots do not reach.
  ${CC:-cc} -r -nostdlib -o "$work/offhook.o" -Wl,--gc-sections -Wl,--force-group-allocation "${roots[@]}" "$archive"
  # .llvmbc is LLVM bitcode of the Rust library. Joined into one section it is unreadable and breaks LLVM's tools.
  objcopy --wildcard --keep-global-symbol='oh_*' -R .llvmbc -R .llvmcmd "$work/offhook.o"
  defined=$(readelf -sW "$work/offhook.o" | awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 != "UND" { print $8 }' | sort -u)
  [ "$defined" = "$functions" ] || {
    echo "seal-archive: global in the archive, or in the header, and not in both:" >&2
    diff <(echo "$functions") <(echo "$defined") >&2 || true
    exit 1
  }
  ar rcsD "$work/liboffhook.a" "$work/offhook.o"
  mv -f "$work/liboffhook.a" "$out"
fi
echo "$out"
