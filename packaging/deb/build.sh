#!/usr/bin/env bash
# Builds the Debian packages from the release build; called by scripts/dist.sh with WORK, OUT, VERSION and ABI. No
# debhelper: five packages of a few files each. dpkg-shlibdeps computes the dependencies.
set -euo pipefail
cd "$(dirname "$0")/../.."
deb=$WORK/deb
# The maintainer of the packages. Set a real address for packages that are published.
maintainer=${OFFHOOK_MAINTAINER:-The Offhook contributors <offhook@localhost>}
revision=$VERSION-1
multiarch=$(${CC:-cc} -print-multiarch)
arch=$(dpkg --print-architecture)
lib=liboffhook$ABI
[ "$lib" = liboffhook1 ] || { echo "deb: ABI $ABI: packaging/deb is written for 1, rename its packages" >&2; exit 1; }
rm -rf "$deb" && mkdir -p "$deb"

# Install everything once, then distribute it to the packages.
all=$deb/all
DOCDIR= DESTDIR=$all PREFIX=/usr LIBDIR=/usr/lib/$multiarch DEBUGDIR=/usr/lib/debug scripts/install.sh >/dev/null

move() { # PACKAGE PATH...: moves files from the complete tree into a package
  local package=$1 path; shift
  for path in "$@"; do
    mkdir -p "$deb/$package/$(dirname "$path")"
    mv "$all/$path" "$deb/$package/$path"
  done
}
cd "$all"
move $lib usr/lib/"$multiarch"/liboffhook.so.*
chmod 644 "$deb/$lib/usr/lib/$multiarch"/liboffhook.so.*.*   # as Debian policy requires
move liboffhook-dev usr/include usr/lib/"$multiarch"/liboffhook.so usr/lib/"$multiarch"/liboffhook.a usr/lib/"$multiarch"/{pkgconfig,cmake}
move $lib-dbgsym usr/lib/debug
move offhook usr/bin/offhook usr/share/man/man1/offhook.1
gzip -9n "$deb/offhook/usr/share/man/man1/offhook.1"
rest=$(find . ! -type d)
[ -z "$rest" ] || { echo "deb: in no package: $rest" >&2; exit 1; }
cd - >/dev/null
install -D -m 755 "$WORK/offhook-sfu" "$deb/offhook-sfu/usr/bin/offhook-sfu"
examples=$deb/liboffhook-dev/usr/share/doc/liboffhook-dev/examples
install -d "$examples/speech"
install -m 644 examples/*.c examples/*.h "$examples"
install -m 644 examples/speech/*.wav "$examples/speech"
if [ -d "$WORK/html" ]; then cp -R "$WORK/html" "$deb/liboffhook-dev/usr/share/doc/liboffhook-dev/html"; fi
install -D -m 644 docs/sfu.md "$deb/offhook-sfu/usr/share/doc/offhook-sfu/sfu.md"

install -d "$deb/offhook-sfu/usr/share/man/man1"
gzip -9n <packaging/deb/offhook-sfu.1 >"$deb/offhook-sfu/usr/share/man/man1/offhook-sfu.1.gz"

# The dependencies on system libraries. dpkg-shlibdeps requires a source package, so create one.
needs() { # PACKAGE FILE
  mkdir -p "$deb/source/debian" "$deb/$1/DEBIAN"
  printf 'Source: offhook\n\nPackage: %s\nArchitecture: any\n' "$1" >"$deb/source/debian/control"
  (cd "$deb/source" && dpkg-shlibdeps -O "$2" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}
if command -v dpkg-shlibdeps >/dev/null 2>&1; then
  library_needs=$(needs $lib "$(echo "$deb/$lib/usr/lib/$multiarch"/liboffhook.so.*.*)")
  sfu_needs=$(needs offhook-sfu "$deb/offhook-sfu/usr/bin/offhook-sfu")
  program_needs=$(needs offhook "$deb/offhook/usr/bin/offhook")
else
  echo "deb: no dpkg-shlibdeps (apt-get install dpkg-dev): the packages depend on any libc6" >&2
  library_needs="libc6, libgcc-s1" sfu_needs="libc6, libgcc-s1" program_needs="libc6, libgcc-s1"
fi
[ -n "$library_needs" ] && [ -n "$sfu_needs" ] && [ -n "$program_needs" ] || { echo "deb: dpkg-shlibdeps found no dependency" >&2; exit 1; }

# The symbols that programs may link with, and the version that introduced each: packaging/deb has the list.
have=$(nm -D --defined-only "$deb/$lib/usr/lib/$multiarch"/liboffhook.so.*.* | awk '$2 != "A" { sub("@@", "@", $3); print $3 }' | sort)
listed=$(sed -n 's/^ \(oh_[^ ]*\) .*/\1/p' packaging/deb/$lib.symbols | sort)
[ "$have" = "$listed" ] || {
  echo "deb: packaging/deb/$lib.symbols and the library differ (a new symbol is listed with the version it came in):" >&2
  diff <(echo "$listed") <(echo "$have") >&2; exit 1; }

control() { # PACKAGE SECTION DEPENDS TITLE TEXT [MORE]: writes DEBIAN/control and the documents
  local package=$1 dir=$deb/$1 doc=$deb/$1/usr/share/doc/$1
  install -d "$dir/DEBIAN" "$doc"
  install -m 644 packaging/deb/copyright "$doc/copyright"
  printf 'offhook (%s) unstable; urgency=medium\n\n  * %s\n\n -- %s  %s\n' "$revision" "See CHANGELOG.md of the sources." \
    "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.Debian.gz"
  gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
  local third=offhook
  [ "$package" = offhook-sfu ] && third=offhook-sfu
  gzip -9n <"$WORK/$third.third-party" >"$doc/THIRD-PARTY.txt.gz"
  (cd "$dir" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs -d '\n' md5sum) >"$dir/DEBIAN/md5sums"
  {
    printf 'Package: %s\nSource: offhook\nVersion: %s\nArchitecture: %s\n' "$package" "$revision" "$arch"
    printf 'Maintainer: %s\n' "$maintainer"
    printf 'Installed-Size: %d\n' "$(find "$dir" -path "$dir/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')"
    printf 'Section: %s\nPriority: optional\n%bDepends: %s\nDescription: %s\n%b\n' "$2" "${6:-}" "$3" "$4" "$5"
  } >"$dir/DEBIAN/control"
  chmod 644 "$dir"/DEBIAN/*
}
intro=" Offhook puts a program of any language into calls on an SFU: join,\n publish, subscribe, media in and out, reconnect, leave; it implements the\n protocols of Stream Video and of LiveKit."
mkdir -p "$deb/$lib/DEBIAN"
echo "liboffhook $ABI $lib (>= $VERSION)" >"$deb/$lib/DEBIAN/shlibs"
cp packaging/deb/$lib.symbols "$deb/$lib/DEBIAN/symbols"
echo "activate-noawait ldconfig" >"$deb/$lib/DEBIAN/triggers"
id=$(readelf -n "$deb/$lib/usr/lib/$multiarch"/liboffhook.so.*.* | sed -n 's/.*Build ID: \([0-9a-f]*\)$/\1/p')

control $lib libs "$library_needs" "SFU calls for any language (library)" "$intro" "Multi-Arch: same\n"
control $lib-dbgsym debug "$lib (= $revision)" "line tables of liboffhook1" " For backtraces with files and lines; debuggers find them by the build-id." \
  "Multi-Arch: same\nBuild-Ids: $id\n"
control liboffhook-dev libdevel "$lib (= $revision)" "SFU calls for any language (development files)" \
  "$intro\n .\n The header, which is the manual, the static library, files for\n pkg-config and CMake, the documentation as pages, and examples." "Multi-Arch: same\n"
control offhook net "$program_needs" "SFU calls for any language (tools)" \
  "$intro\n .\n The program offhook: offhook doctor finds out why a call does not\n connect."
control offhook-sfu net "$sfu_needs" "development SFU for offhook" \
  "$intro\n .\n A whole SFU with its coordinator in one process, for tests and demos on\n one machine: it verifies no tokens."

for package in $lib $lib-dbgsym liboffhook-dev offhook offhook-sfu; do
  find "$deb/$package" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group --threads-max=1 -Zxz -z6 --build "$deb/$package" "$OUT/${package}_${revision}_$arch.deb" >/dev/null
  echo "ok ${package}_${revision}_$arch.deb"
done
