#!/usr/bin/env bash
# dist.sh: makes all release files in target/dist, with SHA256SUMS:
#   offhook-VERSION-linux-ARCH.tar.xz        library, static library, header, pkg-config, CMake, offhook, SFU, guides, examples
#   offhook-VERSION-linux-ARCH-debug.tar.xz  the library's line tables, found by build-id
#   liboffhook1, liboffhook1-dbgsym, liboffhook-dev, offhook, offhook-sfu as .deb, if dpkg-deb is installed
#   offhook-VERSION-py3-none-manylinux_*.whl the Python package with the library, where the package registry is reachable
#   offhook-VERSION-source.tar.xz            the sources of the commit
# Environment: OFFHOOK_SFU=FILE uses this SFU instead of building one; OFFHOOK_BUILT=1 uses OFFHOOK_BUILD
# (target/ship/release) as it is; OFFHOOK_DIST=DIR replaces target/dist. The same commit and tools give the same bytes
# (scripts/reproducible.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
export LC_ALL=C TZ=UTC
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
abi=$(sed -n 's/^#define OH_ABI_VERSION \([0-9]*\)$/\1/p' include/offhook.h)
arch=$(uname -m)
name=offhook-$version-linux-$arch
out=${OFFHOOK_DIST:-target/dist}
# Without git (from the source archive), the time of the changelog, which tar preserves.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

export OFFHOOK_BUILD=${OFFHOOK_BUILD:-target/ship/release}
[ "${OFFHOOK_BUILT:-}" = 1 ] || scripts/build-ship.sh lib
sfu=${OFFHOOK_SFU:-}
if [ -z "$sfu" ]; then
  scripts/build-ship.sh sfu
  sfu=target/ship-sfu/release/offhook-sfu
fi
[ -x "$sfu" ] || { echo "dist: $sfu is not there" >&2; exit 1; }

rm -rf "$out" target/dist-work
mkdir -p "$out" target/dist-work
out=$(cd "$out" && pwd) work=$PWD/target/dist-work

for package in offhook offhook-sfu; do scripts/third-party.py $package >"$work/$package.third-party"; done
objcopy --strip-unneeded "$sfu" "$work/offhook-sfu"
chmod 755 "$work/offhook-sfu"

# The documentation pages, if MkDocs is installed or can be installed.
scripts/docs.py "$work/html" || { code=$?; [ $code = 77 ] || exit $code; echo "dist: the packages contain no pages" >&2; }

examples() { # DIR: the first programs a user compiles
  install -d "$1/speech"
  install -m 644 examples/*.c examples/*.h "$1"
  install -m 644 examples/speech/alice.wav examples/speech/bob.wav examples/speech/README.md "$1/speech"
}
guides() { # DIR: as HTML pages and as Markdown
  if [ -d "$work/html" ]; then cp -R "$work/html" "$1/html"; fi
  install -d "$1/guides"
  install -m 644 docs/*.md "$1"
  if compgen -G 'docs/guides/*.md' >/dev/null; then install -m 644 docs/guides/*.md "$1/guides"; fi
}
pack() { # DIR NAME -> OUT/NAME.tar.xz with one folder, NAME
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX --format=gnu -C "$1" -cf - "$2" |
    xz -T1 -6 >"$out/$2.tar.xz"
  echo "ok $2.tar.xz"
}

# The relocatable tree.
tree=$work/tar/$name
RELOCATABLE=1 DESTDIR=$work/tar PREFIX=/$name DEBUGDIR=/$name-debug/lib/debug scripts/install.sh >/dev/null
install -D -m 755 "$work/offhook-sfu" "$tree/bin/offhook-sfu"
doc=$tree/share/doc/offhook
examples "$doc/examples"
guides "$doc"
install -m 644 LICENSE-MIT LICENSE-APACHE CHANGELOG.md "$doc"
cat "$work/offhook.third-party" >"$doc/THIRD-PARTY.txt"
cat "$work/offhook-sfu.third-party" >"$doc/THIRD-PARTY-sfu.txt"
sed "s/@VERSION@/$version/; s/@PLATFORM@/Linux on $arch/; s/@ABI@/$abi/" packaging/README.md >"$tree/README.md"
pack "$work/tar" "$name"
pack "$work/tar" "$name-debug"

code=0
scripts/build-wheel.sh "$tree" "$out" || code=$?
[ $code = 0 ] || [ $code = 77 ] || exit $code

if git rev-parse --git-dir >/dev/null 2>&1; then
  git archive --format=tar --prefix="offhook-$version-source/" HEAD | xz -T1 -6 >"$out/offhook-$version-source.tar.xz"
  echo "ok offhook-$version-source.tar.xz"
fi

if command -v dpkg-deb >/dev/null 2>&1; then
  WORK=$work OUT=$out VERSION=$version ABI=$abi packaging/deb/build.sh
else
  echo "SKIPPED: dist: no .deb without dpkg-deb (apt-get install dpkg-dev)"
fi
(cd "$out" && sha256sum -- *.tar.xz $(compgen -G '*.whl' || true) $(compgen -G '*.deb' || true) >SHA256SUMS)
(cd "$out" && ls -l | awk 'NR > 1 { printf "%12d  %s\n", $5, $9 }')
