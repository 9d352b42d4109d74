#!/usr/bin/env bash
# check-dist.sh: unpacks the output of scripts/dist.sh into an empty tree and uses it like a new user: builds
# examples/call.c of the package with pkg-config, shared and static, and with CMake, and runs two such programs in a
# call over the package's own SFU; each run must receive audio. Then the first call of each binding, from the source
# archive: C++, Go and Swift with the package's library, Python from the wheel. Once for the tarball and once for the
# Debian packages. Nothing is downloaded: where the system permits, it runs in its own network namespace with only a loopback interface.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(cd "${OFFHOOK_DIST:-target/dist}" && pwd)
export LC_ALL=C

if [ "${CHECK_DIST_INSIDE:-}" != 1 ]; then
  export CHECK_DIST_INSIDE=1
  alone=(unshare -rn)
  [ "$(id -u)" != 0 ] || alone=(unshare -n)
  if "${alone[@]}" ip link set lo up 2>/dev/null; then
    exec "${alone[@]}" sh -c 'ip link set lo up && exec "$@"' sh scripts/check-dist.sh
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
# The program offhook, by itself, against the SFU: LABEL PROGRAM
check_doctor() {
  says "^offhook $version$" "$("$2" --version)" || fail "$1: offhook --version does not print $version"
  OFFHOOK_STAGE=$stage OFFHOOK_SFU=$sfu timeout 60 scripts/with-sfu.sh bash -c '
    env -u LD_LIBRARY_PATH "$1" doctor "$OFFHOOK_SFU_URL" --protocol stream --token x.y.z --user doctor --call dist' check "$2" >"$tree/log" 2>&1 ||
    { cat "$tree/log" >&2; fail "$1: offhook doctor found a failure"; }
  says '^ok *publisher' "$(cat "$tree/log")" || { cat "$tree/log" >&2; fail "$1: offhook doctor did not check media"; }
  echo "ok $1, offhook doctor"
}
# The first call of each binding's README, twice in one call. PKG_CONFIG_PATH and `sfu` are those of the tree.
# LABEL STAGE INCLUDES
first_calls() {
  local label=$1 stage=$2 includes=$3 source=$tree/source bin=$tree/bin-$1 go code=0
  [ -d "$source" ] || { echo "SKIPPED: check-dist: first calls, $label: there is no source archive"; return 0; }
  first() { # LANGUAGE COMMAND...
    local language=$1
    shift
    OFFHOOK_STAGE=$stage OFFHOOK_SFU=$sfu timeout 180 scripts/with-sfu.sh bindings/two-calls.sh "$bin" "$@" >"$tree/log" 2>&1 ||
      { tail -20 "$tree/log" >&2; fail "$label, first call in $language"; }
    grep -q "^ok first call: two receive each other's audio$" "$tree/log" || { cat "$tree/log" >&2; fail "$label, first call in $language: no call"; }
    echo "ok $label, first call in $language"
  }
  eval "quiet g++ -std=c++17 -Wall -Wextra -Werror \"\$source/bindings/cpp/examples/first_call.cpp\" -o \"\$bin/first_cpp\" -pthread $(pkg-config --cflags --libs offhook)"
  first C++ "$bin/first_cpp"
  for go in "$(command -v go || true)" /usr/local/go/bin/go ""; do
    if [ -x "$go" ] && (cd / && [ "$(printf '%s\n' go1.24 "$(GOTOOLCHAIN=local "$go" env GOVERSION)" | sort -V | head -1)" = go1.24 ]); then break; fi
  done
  if [ -n "$go" ]; then
    rm -rf "$bin/agent" && mkdir "$bin/agent" && cp "$source/bindings/go/examples/first/main.go" "$bin/agent"
    local path=github.com/offhook/offhook/bindings/go
    export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOPROXY=off
    (cd "$bin/agent" && quiet "$go" mod init example.com/agent &&
      quiet "$go" mod edit "-require=$path@v0.0.0" "-replace=$path=$source/bindings/go" && quiet "$go" build -o ../first_go .)
    first Go "$bin/first_go"
  else
    echo "SKIPPED: check-dist: first call in Go: there is no Go 1.24 or later"
  fi
  # SwiftPM reads offhook.pc itself and does not use PKG_CONFIG_SYSROOT_DIR.
  OFFHOOK_STAGE=$stage bindings/swift/support/with-swift.sh swift build --package-path "$source/bindings/swift" --scratch-path "$bin/swift" \
    --product first-call -Xcc "-I$includes" -Xlinker "-L$stage/lib" >"$tree/log" 2>&1 || code=$?
  case $code in
    0) first Swift bindings/swift/support/with-swift.sh "$bin/swift/debug/first-call" ;;
    77) tail -1 "$tree/log" ;;
    *) tail -20 "$tree/log" >&2; fail "$label: the Swift package does not build" ;;
  esac
}
# The wheel, installed into an empty folder, with no library beside it.
first_python() {
  local wheel python=$PWD/target/wheel-env/bin/python work=$tree/bin-python text
  wheel=$(compgen -G "$dist/*.whl") || { echo "SKIPPED: check-dist: there is no wheel"; return 0; }
  case $(basename "$wheel") in offhook-"$version"-py3-none-manylinux_*.whl) ;; *) fail "the wheel is named $(basename "$wheel")" ;; esac
  quiet "$python" -m pip --disable-pip-version-check -q install --no-index --no-deps --target "$tree/python" "$wheel"
  for text in LICENSE-MIT LICENSE-APACHE THIRD-PARTY.txt; do [ -s "$tree/python/offhook/$text" ] || fail "the wheel has no $text"; done
  mkdir -p "$work" "$tree/stage-none/lib/pkgconfig"
  : >"$tree/stage-none/lib/pkgconfig/offhook.pc" # with-sfu.sh wants a stage
  cp "$tree/source/bindings/python/examples/first_call.py" "$work"
  OFFHOOK_STAGE=$tree/stage-none OFFHOOK_SFU=$sfu PYTHONPATH=$tree/python timeout 180 scripts/with-sfu.sh \
    bindings/two-calls.sh "$work" "$python" "$work/first_call.py" >"$tree/log" 2>&1 || { tail -20 "$tree/log" >&2; fail "first call in Python"; }
  echo "ok wheel $(basename "$wheel"), first call in Python"
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
  check_doctor "$label" "$root/bin/offhook"
  check_call "$label, pkg-config" "$bin/call" "$examples/speech/alice.wav"
  check_call "$label, pkg-config static" "$bin/call-static" "$examples/speech/alice.wav"
  check_call "$label, CMake" "$bin/cmake/call" "$examples/speech/alice.wav"
  check_call "$label, CMake static" "$bin/cmake/call-static" "$examples/speech/alice.wav"
  first_calls "$label" "$stage" "$root/include"
}

if compgen -G "$dist/*-source.tar.xz" >/dev/null; then
  mkdir "$tree/source"
  tar -C "$tree/source" --strip-components=1 -xJf "$dist/offhook-$version-source.tar.xz"
fi

root="$tree/tar/lies elsewhere"
for file in README.md share/doc/offhook/{LICENSE-MIT,LICENSE-APACHE,THIRD-PARTY.txt,THIRD-PARTY-sfu.txt,CHANGELOG.md}; do
  [ -s "$root/$file" ] || fail "the tarball has no $file"
done
grep -q 'opusic-sys' "$root/share/doc/offhook/THIRD-PARTY.txt" || fail "THIRD-PARTY.txt does not list Opus"
check "$root" "$root/lib" "$root/share/doc/offhook/examples" "$root/bin/offhook-sfu" tarball
first_python

# The debug archive belongs to this library and contains line numbers.
tar -C "$tree/tar" -xJf "$dist/$name-debug.tar.xz"
id=$(readelf -n "$root/lib/liboffhook.so.1" | sed -n 's/.*Build ID: \([0-9a-f]*\)$/\1/p')
debug=$tree/tar/$name-debug/lib/debug/.build-id/${id:0:2}/${id:2}.debug
[ -s "$debug" ] || fail "no debug file for build-id '$id'"
says "${id:2}.debug" "$(readelf --string-dump=.gnu_debuglink "$root/lib/liboffhook.so.1")" || fail "the library names no debug file"
address=$(nm -D --defined-only "$root/lib/liboffhook.so.1" | awk '$3 ~ /^oh_call_join@/ { print $1 }')
line=$(addr2line -e "$debug" "0x$address")
# A library that was not built for release names the folder of its sources.
sources=/offhook
[ "${OFFHOOK_BUILT:-}" != 1 ] || sources=$PWD
case $line in "$sources"/src/capi/*) echo "ok debug file: oh_call_join is at $line" ;; *) fail "debug file: oh_call_join is at '$line'" ;; esac

if ! compgen -G "$dist/*.deb" >/dev/null; then echo "SKIPPED: check-dist: there are no .deb"; exit 0; fi
root=$tree/deb
multiarch=$(cc -print-multiarch)
for deb in "$dist"/*.deb; do dpkg-deb -x "$deb" "$root"; done
for part in shlibs symbols triggers md5sums; do
  says "^./$part$" "$(dpkg-deb --ctrl-tarfile "$dist"/liboffhook1_*.deb | tar -t)" || fail "liboffhook1 has no $part"
done
for deb in "$dist"/*.deb; do
  case $(dpkg-deb -f "$deb" Package) in
    liboffhook1|offhook|offhook-sfu) want='libc6 (>= ' ;;
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
