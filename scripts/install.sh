#!/usr/bin/env bash
# Installs what is in target/ship/release: library with SONAME links, static library, header, offhook.pc.
# Environment: DESTDIR (staging root), PREFIX (/usr/local), LIBDIR (PREFIX/lib), STRIP=0 keeps the
# line tables.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=$prefix/include
root=${DESTDIR:-}
build=target/ship/release
for path in "$prefix" "$libdir"; do
  case $path in /*) ;; *) echo "install: PREFIX and LIBDIR must be absolute, not '$path'" >&2; exit 2 ;; esac
done
for file in liboffhook.so liboffhook.a; do
  [ -e "$build/$file" ] || { echo "install: $build/$file is not built: make build" >&2; exit 1; }
done
[ -e include/offhook.h ] || { echo "install: include/offhook.h is missing: make header" >&2; exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
soname=$(readelf -d "$build/liboffhook.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = liboffhook.so.0 ] || { echo "install: unexpected SONAME '$soname'" >&2; exit 1; }
real=$soname.${version#*.}

install -d "$root$libdir/pkgconfig" "$root$includedir"
install -m 755 "$build/liboffhook.so" "$root$libdir/$real"
install -m 644 "$build/liboffhook.a" "$root$libdir/liboffhook.a"
if [ "${STRIP:-1}" = 1 ]; then
  strip --strip-unneeded "$root$libdir/$real"
  strip --strip-debug "$root$libdir/liboffhook.a"
fi
ln -sfn "$real" "$root$libdir/$soname"
ln -sfn "$soname" "$root$libdir/liboffhook.so"
install -m 644 include/offhook.h "$root$includedir/offhook.h"
cat >"$root$libdir/pkgconfig/offhook.pc" <<PC
prefix=$prefix
libdir=$libdir
includedir=$includedir

Name: offhook
Description: SFU calls for any language: join, publish, subscribe, media in and out, leave
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -loffhook
Libs.private: -pthread -lgcc_s -lutil -lrt -lm -ldl -lc
PC
echo "installed offhook $version into $root$prefix"
