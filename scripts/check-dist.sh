#!/usr/bin/env bash
# check-dist.sh: unpacks the output of scripts/dist.sh into an empty tree and uses it like a new user: builds
# examples/call.c of the package with pkg-config, shared and static, and with CMake, and runs two such programs in a
# call over the package's own SFU; each run must receive audio. Once for the tarball and once for the Debian packages.
# Nothing is downloaded: where the system permits, it runs in its own network namespace with only a loopback interface.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(cd "${OFFHOOK_DIST:-target/dist}" && pwd)
export LC_ALL=C

if [ "${CHECK_DIST_INSIDE:-}" != 1 ]; then
  export CHECK_DIST_INSIDE=1
  if unshare -rn ip link set lo up 2>/dev/null; then
    exec unshare -rn sh -c 'ip link set lo up && exec "$@"' sh scripts/check-dist.sh
  fi
  echo "check-dist: no network namespace here: it runs with network access, which it does not use"
fi
fail() { echo "check-dist: $*" >&2; exit 1; }
# Not a pipe: grep -q exits at the first match, and the writer would fail.
says() { grep -q -- "$1" <<<"$2"; }
quiet() { "$@" >"$tree/log" 2>&1 || { cat "$tree/log" >&2; fail "failed: $*"; }; }

(cd "$dist" && sha256sum --quiet -c SHA256SUMS) || fail "SHA256SUMS is wrong"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=offhook-$version-linux-$(uname -m)
tree=$PWD/target/dist-check
rm -rf "$tree" && mkdir -p "$tree/tar" "$tree/deb"
tar -C "$tree/tar" -xJf "$dist/$name.tar.xz"
mv "$tree/tar/$name" "$tree/tar/lies elsewhere"     # the path contains a space

# Runs a program twice in one call: one sends speech, the other must receive it. WHAT PROGRAM SPEECH
check_call() {
  local what=$1 program=$2 speech=$3 log=$tree/call.log
  OFFHOOK_STAGE=$stage OFFHOOK_SFU=$sfu timeout 60 scripts/with-sfu.sh bash -c '
    "$1" --url "$OFFHOOK_SFU_URL" --user alice --call dist --play "$2" --seconds 6 >/dev/null & talker=$!
    "$1" --url "$OFFHOOK_SFU_URL" --user bob --call dist --hear alice --seconds 4 --json; code=$?
    wait $talker && exit $code' check_call "$program" "$speech" >"$log" || { tail -5 "$log" >&2; fail "$what: the call failed"; }
  grep -q '"event":"first_audio"' "$log" || { tail -5 "$log" >&2; fail "$what: no audio was received"; }
  grep -q '"event":"ended","reason":"left"' "$log" || fail "$what: the call did not end as expected"
  echo "ok $what: built, and audio received in a call"
}
shared() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(liboffhook.*\)\]/\1/p'; }

# Checks one tree: ROOT LIBDIR EXAMPLES SFU LABEL
check() {
  local root=$1 libdir=$2 examples=$3 label=$5 bin=$tree/bin-$5
  sfu=$4
  mkdir -p "$bin"
  export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_LIBDIR=$libdir/pkgconfig
  local strict=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread)
  # pkg-config quotes spaces in paths for a shell.
  eval "quiet cc \"\${strict[@]}\" \"\$examples/call.c\" -o \"\$bin/call\" $(pkg-config --cflags --libs offhook)"
  eval "quiet cc \"\${strict[@]}\" \"\$examples/call.c\" -o \"\$bin/call-static\" $(pkg-config --cflags offhook) -Wl,-Bstatic \
    $(pkg-config --libs-only-L offhook) -loffhook -Wl,-Bdynamic $(pkg-config --static --libs offhook | sed 's/-loffhook//')"
  quiet cmake -S tests/install -B "$bin/cmake" -DCMAKE_PREFIX_PATH="$root" -DEXAMPLES="$examples"
  quiet cmake --build "$bin/cmake"
  [ "$(shared "$bin/call")" = liboffhook.so.1 ] && [ "$(shared "$bin/cmake/call")" = liboffhook.so.1 ] || fail "$label: the shared programs need something else"
  [ -z "$(shared "$bin/call-static")$(shared "$bin/cmake/call-static")" ] || fail "$label: a static program needs the shared library"
  says 'Name: OFFHOOK_1 ' "$(readelf -V "$bin/call")" || fail "$label: the program asks for no version of the symbols"
  # with-sfu.sh sets the loader path to the library of a stage.
  stage=$tree/stage-$label
  mkdir -p "$stage"
  ln -s "$libdir" "$stage/lib"
  check_call "$label, pkg-config" "$bin/call" "$examples/speech/alice.wav"
  check_call "$label, pkg-config static" "$bin/call-static" "$examples/speech/alice.wav"
  check_call "$label, CMake" "$bin/cmake/call" "$examples/speech/alice.wav"
  check_call "$label, CMake static" "$bin/cmake/call-static" "$examples/speech/alice.wav"
}

root="$tree/tar/lies elsewhere"
for file in README.md share/doc/offhook/{LICENSE-MIT,LICENSE-APACHE,THIRD-PARTY.txt,THIRD-PARTY-sfu.txt,CHANGELOG.md}; do
  [ -s "$root/$file" ] || fail "the tarball has no $file"
done
grep -q 'opusic-sys' "$root/share/doc/offhook/THIRD-PARTY.txt" || fail "THIRD-PARTY.txt does not list Opus"
check "$root" "$root/lib" "$root/share/doc/offhook/examples" "$root/bin/offhook-sfu" tarball

# The debug archive belongs to this library and contains line numbers.
tar -C "$tree/tar" -xJf "$dist/$name-debug.tar.xz"
id=$(readelf -n "$root/lib/liboffhook.so.1" | sed -n 's/.*Build ID: \([0-9a-f]*\)$/\1/p')
debug=$tree/tar/$name-debug/lib/debug/.build-id/${id:0:2}/${id:2}.debug
[ -s "$debug" ] || fail "no debug file for build-id '$id'"
says "${id:2}.debug" "$(readelf --string-dump=.gnu_debuglink "$root/lib/liboffhook.so.1")" || fail "the library names no debug file"
address=$(nm -D --defined-only "$root/lib/liboffhook.so.1" | awk '$3 ~ /^oh_call_join@/ { print $1 }')
line=$(addr2line -e "$debug" "0x$address")
case $line in /offhook/src/capi/*) echo "ok debug file: oh_call_join is at $line" ;; *) fail "debug file: oh_call_join is at '$line'" ;; esac

if ! compgen -G "$dist/*.deb" >/dev/null; then echo "SKIPPED: check-dist: there are no .deb"; exit 0; fi
root=$tree/deb
multiarch=$(cc -print-multiarch)
for deb in "$dist"/*.deb; do dpkg-deb -x "$deb" "$root"; done
for part in shlibs symbols triggers md5sums; do
  says "^./$part$" "$(dpkg-deb --ctrl-tarfile "$dist"/liboffhook1_*.deb | tar -t)" || fail "liboffhook1 has no $part"
done
for deb in "$dist"/*.deb; do
  case $(dpkg-deb -f "$deb" Package) in
    liboffhook1|offhook-sfu) want='libc6 (>= ' ;;
    *) want="liboffhook1 (= $version-1)" ;;
  esac
  [[ $(dpkg-deb -f "$deb" Depends) == *"$want"* ]] || fail "$(basename "$deb") depends on: $(dpkg-deb -f "$deb" Depends)"
done
# Would dpkg accept them on this machine? --no-act changes nothing.
if dpkg -s libc6 >/dev/null 2>&1; then
  quiet dpkg --no-act --install "$dist"/*.deb
  echo "ok dpkg would install all of them here"
fi
# The packages use /usr below this tree as the root.
export PKG_CONFIG_SYSROOT_DIR=$root
check "$root/usr" "$root/usr/lib/$multiarch" "$root/usr/share/doc/liboffhook-dev/examples" "$root/usr/bin/offhook-sfu" deb
unset PKG_CONFIG_SYSROOT_DIR
# The dependency of a package that uses the library, from its symbols file.
if command -v dpkg-shlibdeps >/dev/null 2>&1; then
  mkdir -p "$tree/user/debian" "$tree/user/lib/DEBIAN"
  dpkg-deb -e "$dist"/liboffhook1_*.deb "$tree/user/lib/DEBIAN"
  cp -a "$root/usr" "$tree/user/lib/"
  printf 'Source: user\n\nPackage: user\nArchitecture: any\n' >"$tree/user/debian/control"
  needs=$(cd "$tree/user" && dpkg-shlibdeps -O -Slib -l"$PWD/lib/usr/lib/$multiarch" "$tree/bin-deb/call" 2>&1)
  [[ $needs == *"liboffhook1 (>= $version)"* ]] || fail "a program's package would depend on: $needs"
  echo "ok a package that uses it would depend on liboffhook1 (>= $version)"
fi
