#!/usr/bin/env bash
# link-lib.sh BUILD_DIR: links BUILD_DIR/versioned/liboffhook.so from liboffhook.a, with the versions of
# packaging/offhook.map, and prints its path. Does nothing if it is newer than both.
#
# Not done by cargo: rustc passes its own version script, without a name, to the linker, and GNU ld does not accept a
# second one. The archive contains the same code, and linking it takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
archive=$build/liboffhook.a out=$build/versioned/liboffhook.so map=packaging/offhook.map
[ -e "$archive" ] || { echo "link-lib: $archive is not built: make build" >&2; exit 1; }
abi=$(sed -n 's/^#define OH_ABI_VERSION \([0-9]*\)$/\1/p' include/offhook.h)
node=$(sed -n 's/^\(OFFHOOK_[0-9]*\) {$/\1/p' $map | head -1)
[ "$node" = "OFFHOOK_$abi" ] || { echo "link-lib: $map begins with ${node:-nothing}, the header says ABI $abi" >&2; exit 1; }

if [ ! -e "$out" ] || [ "$archive" -nt "$out" ] || [ $map -nt "$out" ] || [ scripts/link-lib.sh -nt "$out" ]; then
  mkdir -p "$build/versioned"
  new=$(mktemp "$build/versioned/.liboffhook.XXXXXX")
  trap 'rm -f "$new"' EXIT
  # The flags that rustc uses for a library, and no undefined symbols. The build-id is a hash of the contents.
  ${CC:-cc} -shared -o "$new" -Wl,-soname,liboffhook.so."$abi" -Wl,--version-script=$map \
    -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -Wl,--gc-sections -Wl,--as-needed \
    -Wl,-z,relro,-z,now -Wl,-z,defs -Wl,-z,noexecstack -Wl,--eh-frame-hdr -Wl,--build-id=sha1 \
    -pthread -lgcc_s -lutil -lrt -lm -ldl -lc
  unversioned=$(nm -D --defined-only "$new" | awk -v node="$node" '$2 != "A" && $3 !~ ("^oh_[a-z0-9_]+@@" node) { print $3 }')
  [ -z "$unversioned" ] || { echo "link-lib: exported without a version:" $unversioned >&2; exit 1; }
  chmod 755 "$new"
  mv -f "$new" "$out"
fi
echo "$out"
