#!/usr/bin/env bash
# Installs into an empty tree, builds every examples/*.c against it with pkg-config only, shared and static, and runs
# each with --help. Does the same with CMake after moving the tree. Programs that are fully static, or contain their own
# Opus, send and receive audio over the installed SFU.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$PWD/target/install-test
rm -rf "$tree" && mkdir -p "$tree/bin"
prefix=/opt/offhook-test libdir=/opt/offhook-test/lib64
build=${OFFHOOK_BUILD:-target/built}
DESTDIR=$tree PREFIX=$prefix LIBDIR=$libdir SFU=target/built/offhook-sfu scripts/install.sh

for file in $libdir/liboffhook.so.1.0.1.0 $libdir/liboffhook.so.1 $libdir/liboffhook.so $libdir/liboffhook.a \
            $libdir/pkgconfig/offhook.pc $libdir/cmake/offhook/offhookConfig.cmake \
            $libdir/cmake/offhook/offhookConfigVersion.cmake $prefix/include/offhook.h \
            $prefix/include/offhook/offhook.hpp $prefix/bin/offhook-sfu $prefix/bin/offhook $prefix/share/man/man1/offhook.1 \
            $prefix/share/doc/offhook/{LICENSE-MIT,LICENSE-APACHE,THIRD-PARTY.txt}; do
  [ -e "$tree$file" ] || { echo "check-install: $file was not installed" >&2; exit 1; }
done
export PKG_CONFIG_PATH=$tree$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tree
pkg-config --print-errors --exists 'offhook >= 0.1'
flags="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread"
count=0

# The example in README.md must compile.
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$tree/readme.c"
cc $flags "$tree/readme.c" -o "$tree/bin/readme" $(pkg-config --cflags --libs offhook)
echo "ok README.md: its example compiles as printed"

for source in examples/*.c; do
  name=$(basename "$source" .c)
  # " * needs: PACKAGE": another library, from the system and not from the tree.
  needs=$(sed -n '1,10s/^ \* needs: *//p' "$source") more=
  if [ -n "$needs" ]; then
    more=$(env -u PKG_CONFIG_SYSROOT_DIR pkg-config --cflags --libs "$needs" 2>/dev/null) ||
      { echo "SKIPPED: check-install: $name was not built: pkg-config finds no $needs"; continue; }
  fi
  cc $flags "$source" -o "$tree/bin/$name" $(pkg-config --cflags --libs offhook) $more -lm
  # -Bstatic for offhook only: the rest of Libs.private is shared system libraries.
  cc $flags "$source" -o "$tree/bin/$name-static" $(pkg-config --cflags offhook) \
    -Wl,-Bstatic $(pkg-config --libs-only-L --libs-only-l offhook | grep -oE -- '-L[^ ]+|-loffhook' | tr '\n' ' ') \
    -Wl,-Bdynamic $(pkg-config --static --libs offhook | sed 's/-loffhook//') $more -lm
  needs=$(readelf -d "$tree/bin/$name" | sed -n 's/.*(NEEDED).*\[\(liboffhook.*\)\]/\1/p')
  [ "$needs" = liboffhook.so.1 ] || { echo "check-install: $name needs '$needs'" >&2; exit 1; }
  if grep -q 'liboffhook' <<<"$(readelf -d "$tree/bin/$name-static")"; then
    echo "check-install: $name-static still needs the shared library" >&2; exit 1
  fi
  LD_LIBRARY_PATH=$tree$libdir timeout 20 "$tree/bin/$name" --help >"$tree/bin/$name.help"
  timeout 20 "$tree/bin/$name-static" --help >/dev/null
  grep -qi usage "$tree/bin/$name.help" || { echo "check-install: $name --help prints no usage" >&2; exit 1; }
  echo "ok $name: built with pkg-config, shared and static, and runs"
  count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "check-install: no program in examples/" >&2; exit 1; }
# Only oh_* is global in the archive, so a program may define any other symbol: here each function of Opus, ring and the
# Rust library that the archive contains, replaced by abort(). In either link order; and with -static, as pkg-config
# prints.
foreign=$(readelf -sW "$tree$libdir/liboffhook.a" | awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 != "UND" && $8 !~ /^oh_/ { print $8 }')
[ -z "$foreign" ] || { echo "check-install: global in liboffhook.a:" $(head -5 <<<"$foreign") >&2; exit 1; }
{
  echo '#include <stdlib.h>'
  readelf -sW "$build/liboffhook.a" 2>/dev/null |
    awk '$4 == "FUNC" && $5 == "GLOBAL" && $7 != "UND" && $8 ~ /^(opus|silk|celt|ring_core|rust|__rust)_[A-Za-z0-9_]*$/ { print $8 }' |
    sort -u | sed 's/.*/void &(void) { abort(); }/'
} >"$tree/own.c"
[ "$(grep -c abort "$tree/own.c")" -gt 300 ] || { echo "check-install: the archive's own symbols were not recognised" >&2; exit 1; }
cc -c "$tree/own.c" -o "$tree/own.o"
link=$(pkg-config --static --libs offhook)
cc $flags examples/call.c "$tree/own.o" -o "$tree/bin/own-first" $(pkg-config --cflags offhook) "$tree$libdir/liboffhook.a" ${link//-loffhook/}
cc $flags examples/call.c "$tree$libdir/liboffhook.a" "$tree/own.o" -o "$tree/bin/own-last" $(pkg-config --cflags offhook) ${link//-loffhook/}
# The linker warns about getaddrinfo, which needs the shared C library for name sources other than files and DNS.
cc -static $flags examples/call.c "$tree/own.o" -o "$tree/bin/all-static" $(pkg-config --cflags offhook) $link 2>"$tree/static.log" ||
  { cat "$tree/static.log" >&2; echo "check-install: gcc -static does not link what pkg-config prints" >&2; exit 1; }
if readelf -d "$tree/bin/all-static" | grep -q NEEDED; then echo "check-install: a static program needs libraries" >&2; exit 1; fi
mkdir -p "$tree/stage" && ln -s "$tree$libdir" "$tree/stage/lib"
for name in own-first own-last all-static; do
  OFFHOOK_STAGE=$tree/stage OFFHOOK_SFU=$tree$prefix/bin/offhook-sfu timeout 60 scripts/with-sfu.sh bash -c '
    "$1" --url "$OFFHOOK_SFU_URL" --user alice --call c --play examples/speech/alice.wav --seconds 4 >/dev/null & talker=$!
    "$1" --url "$OFFHOOK_SFU_URL" --user bob --call c --hear alice --seconds 3 --json; code=$?
    wait $talker && exit $code' check_call "$tree/bin/$name" >"$tree/$name.log" 2>&1 &&
    grep -q '"event":"first_audio"' "$tree/$name.log" && grep -q '"event":"ended","reason":"left"' "$tree/$name.log" ||
    { tail -5 "$tree/$name.log" >&2; echo "check-install: $name does not send and receive audio" >&2; exit 1; }
  echo "ok $name: with its own Opus it sends and receives audio"
done
undefined=$(ldd "$tree$libdir/liboffhook.so.1" | grep 'not found' || true)
[ -z "$undefined" ] || { echo "check-install: $undefined" >&2; exit 1; }

moved=$tree/moved
mv "$tree$prefix" "$moved"
mv "$moved/lib64" "$moved/lib"   # CMake does not search lib64 on Debian
quiet() { "$@" >"$tree/log" 2>&1 || { cat "$tree/log" >&2; echo "check-install: failed: $*" >&2; exit 1; }; }
quiet cmake -S tests/install/versions -B "$tree/versions" -DCMAKE_PREFIX_PATH="$moved"
quiet cmake -S tests/install -B "$tree/cmake" -DCMAKE_PREFIX_PATH="$moved" -DEXAMPLES="$PWD/examples"
quiet cmake --build "$tree/cmake"
for name in call call-static; do
  grep -qi usage <<<"$(timeout 20 "$tree/cmake/$name" --help)" || { echo "check-install: $name of CMake does not run" >&2; exit 1; }
done
grep -q 'NEEDED.*liboffhook.so.1' <<<"$(readelf -d "$tree/cmake/call")" || { echo "check-install: CMake's call needs no liboffhook.so.1" >&2; exit 1; }
if grep -q liboffhook <<<"$(readelf -d "$tree/cmake/call-static")"; then
  echo "check-install: CMake's call-static still needs the shared library" >&2; exit 1
fi
echo "ok CMake: offhook::offhook and offhook::static, from a moved tree; versions are distinguished"
