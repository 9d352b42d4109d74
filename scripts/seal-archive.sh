#!/usr/bin/env bash
# seal-archive.sh BUILD_DIR: makes BUILD_DIR/sealed/liboffhook.a of liboffhook.a, and prints its path. Does nothing when it
# is newer than the archive and the header.
#
# What cargo makes holds thousands of global symbols, those of Opus, ring and the Rust library among them. A program with
# an Opus of its own would not link, or would link and let the library call it. Here everything is one object in which
# nothing but oh_* is global; what no function of the header needs is left out.
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
  # Groups (COMDAT) are told apart by their names, local or not: as plain sections they cannot meet those of another
  # library. gc-sections: what the roots do not reach.
  ${CC:-cc} -r -nostdlib -o "$work/offhook.o" -Wl,--gc-sections -Wl,--force-group-allocation "${roots[@]}" "$archive"
  # .llvmbc: LLVM's own form of the Rust library; joined into one section nobody can read it, and LLVM's tools give up.
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
