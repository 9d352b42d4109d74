#!/usr/bin/env bash
# build-cli.sh BUILD_DIR: compiles cli/offhook.c with the static library of BUILD_DIR into BUILD_DIR/offhook, and prints
# its path. The program contains the library: it can be copied to another machine as one file. Does nothing if it is
# newer than all of these. The same sources give the same bytes in any folder.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
archive=$(scripts/seal-archive.sh "$build")
out=$build/offhook
if [ ! -e "$out" ] || [ "$archive" -nt "$out" ] || [ cli/offhook.c -nt "$out" ] || [ include/offhook.h -nt "$out" ]; then
  # The libraries are those of Libs.private in offhook.pc (scripts/install.sh).
  ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -fPIE -pie -ffile-prefix-map="$PWD"=/offhook -Iinclude \
    cli/offhook.c "$archive" -o "$out.new" -Wl,--gc-sections -Wl,-z,relro,-z,now -pthread -lutil -lrt -lm -ldl
  mv -f "$out.new" "$out"
fi
echo "$out"
