#!/usr/bin/env bash
# Installs the build in target/built: library with SONAME links, static library, header, the C++ headers, offhook.pc, the
# CMake package and the program offhook with its manual page; with SFU=FILE also the development SFU. Environment: DESTDIR (staging root), PREFIX (/usr/local),
# LIBDIR (PREFIX/lib), INCLUDEDIR (PREFIX/include), DOCDIR (PREFIX/share/doc/offhook; licences, empty: none), STRIP=0
# keeps the line tables, DEBUGDIR=DIR puts them into separate files below DESTDIR/DIR, RELOCATABLE=1 makes offhook.pc
# use paths relative to itself, OFFHOOK_BUILD=DIR uses another build.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=${INCLUDEDIR:-$prefix/include}
docdir=${DOCDIR-$prefix/share/doc/offhook}
root=${DESTDIR:-}
build=${OFFHOOK_BUILD:-target/built}
for path in "$prefix" "$libdir" "$includedir"; do
  case $path in /*) ;; *) echo "install: PREFIX, LIBDIR and INCLUDEDIR must be absolute, not '$path'" >&2; exit 2 ;; esac
done
[ -e "$build/liboffhook.a" ] || { echo "install: $build/liboffhook.a is not built: make build" >&2; exit 1; }
[ -e include/offhook.h ] || { echo "install: include/offhook.h is missing: make header" >&2; exit 1; }
shared=$(scripts/link-lib.sh "$build")

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
soname=$(readelf -d "$shared" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = liboffhook.so.1 ] || { echo "install: unexpected SONAME '$soname'" >&2; exit 1; }
# The ABI, then the version: several releases of one ABI can be installed side by side.
real=$soname.$version
# Output of `rustc --print native-static-libs` for the archive, without what every C compiler adds itself: the C library
# and the unwinder, which differs with -static.
private="-pthread -lutil -lrt -lm -ldl"

install -d "$root$libdir/pkgconfig" "$root$libdir/cmake/offhook" "$root$includedir"
install -m 755 "$shared" "$root$libdir/$real"
sealed=$(scripts/seal-archive.sh "$build")
install -m 644 "$sealed" "$root$libdir/liboffhook.a"
if [ -n "${DEBUGDIR:-}" ]; then
  id=$(readelf -n "$shared" | sed -n 's/.*Build ID: \([0-9a-f]*\)$/\1/p')
  [ ${#id} -ge 16 ] || { echo "install: $shared has no build-id" >&2; exit 1; }
  debug=$root$DEBUGDIR/.build-id/${id:0:2}/${id:2}.debug
  install -d "$(dirname "$debug")"
  objcopy --only-keep-debug --compress-debug-sections "$shared" "$debug"
  chmod 644 "$debug"
fi
if [ "${STRIP:-1}" = 1 ]; then
  strip --strip-unneeded "$root$libdir/$real"
  strip -D --strip-debug "$root$libdir/liboffhook.a"
fi
if [ -n "${DEBUGDIR:-}" ]; then
  objcopy --add-gnu-debuglink="$debug" "$root$libdir/$real"
fi
# The program contains the library.
program=$(scripts/build-cli.sh "$build")
install -d "$root$prefix/bin" "$root$prefix/share/man/man1"
install -m 755 "$program" "$root$prefix/bin/offhook"
[ "${STRIP:-1}" != 1 ] || strip --strip-unneeded "$root$prefix/bin/offhook"
install -m 644 packaging/deb/offhook.1 "$root$prefix/share/man/man1/offhook.1"
# The licences of offhook and of everything that is linked in.
if [ -n "$docdir" ]; then
  third=$build/THIRD-PARTY.txt
  if [ ! -e "$third" ] || [ Cargo.lock -nt "$third" ] || [ scripts/third-party.py -nt "$third" ]; then
    python3 scripts/third-party.py offhook >"$third.new"
    mv -f "$third.new" "$third"
  fi
  install -d "$root$docdir"
  install -m 644 LICENSE-MIT LICENSE-APACHE "$third" "$root$docdir/"
fi
if [ -n "${SFU:-}" ]; then
  install -d "$root$prefix/bin"
  install -m 755 "$SFU" "$root$prefix/bin/offhook-sfu"
  strip --strip-unneeded "$root$prefix/bin/offhook-sfu"
fi
ln -sfn "$real" "$root$libdir/$soname"
ln -sfn "$soname" "$root$libdir/liboffhook.so"
install -m 644 include/offhook.h "$root$includedir/offhook.h"
# The C++ binding is header-only. -C: unchanged files keep their time, so that programs are not rebuilt.
install -d "$root$includedir/offhook/detail"
install -C -m 644 bindings/cpp/include/offhook/*.hpp "$root$includedir/offhook/"
install -C -m 644 bindings/cpp/include/offhook/detail/*.hpp "$root$includedir/offhook/detail/"

# Path from DIR to another, both as installed; the current file system does not matter.
from() { realpath -m --no-symlinks --relative-to="$1" "$2"; }
pc_prefix=$prefix pc_libdir=$libdir pc_includedir=$includedir
if [ "${RELOCATABLE:-0}" = 1 ]; then
  pc_prefix="\${pcfiledir}/$(from "$libdir/pkgconfig" "$prefix")"
  pc_libdir="\${prefix}/$(from "$prefix" "$libdir")"
  pc_includedir="\${prefix}/$(from "$prefix" "$includedir")"
fi
cat >"$root$libdir/pkgconfig/offhook.pc" <<PC
prefix=$pc_prefix
libdir=$pc_libdir
includedir=$pc_includedir

Name: offhook
Description: SFU calls for any language: join, publish, subscribe, media in and out, leave
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -loffhook
Libs.private: $private
PC

IFS=. read -r major minor _ <<<"$version"
pointer=$(readelf -h "$shared" | sed -n 's/.*Class: *ELF\([0-9]*\)$/\1/p')
for file in offhookConfig offhookConfigVersion; do
  sed -e "s|@VERSION@|$version|g; s|@MAJOR@|$major|g; s|@MINOR@|$minor|g; s|@POINTER@|$((pointer / 8))|g" \
      -e "s|@SHARED@|$real|g; s|@SONAME@|$soname|g; s|@PRIVATE_CMAKE@|${private// /;}|g" \
      -e "s|@INCLUDE_FROM_LIBDIR@|$(from "$libdir" "$includedir")|g" \
    "packaging/cmake/$file.cmake.in" >"$root$libdir/cmake/offhook/$file.cmake"
  chmod 644 "$root$libdir/cmake/offhook/$file.cmake"
done
echo "installed offhook $version into $root$prefix"
