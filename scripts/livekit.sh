#!/usr/bin/env bash
# Installs the LiveKit server for the tests, with the Go client, into target/tools. Keeps an existing one. Exit code 77
# and a line with SKIPPED if it is not available: callers treat that as a skip, never as a success. The server's licence
# is Apache-2.0; nothing of it is shipped.
set -uo pipefail
cd "$(dirname "$0")/.."

# Tried in this order. A version whose go.mod has a `replace` cannot be installed this way.
VERSIONS=(v1.13.5 v1.11.0)
MODULE=github.com/livekit/livekit-server/cmd/server
# From 1.21 on, Go downloads the toolchain that a module requires. Older versions cannot build it.
OLDEST_GO=21

dir=$PWD/target/tools
binary=$dir/livekit-server
stamp=$binary.version
log=$dir/livekit-server.log

skip() {
  echo "SKIPPED: livekit: $1" >&2
  [ -s "$log" ] && tail -n 3 "$log" | sed 's/^/    /' >&2
  exit 77
}

for version in "${VERSIONS[@]}"; do
  if [ -x "$binary" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
    echo "ok livekit-server $version in ${binary#"$PWD"/}"
    exit 0
  fi
done

go=
for candidate in "$(command -v go)" /usr/local/go/bin/go; do
  [ -x "$candidate" ] || continue
  minor=$("$candidate" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  if [ "${minor:-0}" -ge "$OLDEST_GO" ]; then go=$candidate; break; fi
done
mkdir -p "$dir" && : >"$log"
[ -n "$go" ] || skip "no Go of at least 1.$OLDEST_GO in PATH or /usr/local/go/bin"

build=$dir/.livekit
for version in "${VERSIONS[@]}"; do
  rm -rf "$build"
  echo "livekit: installing $version (a minute or two)"
  if GOBIN=$build GOFLAGS= GOWORK=off timeout 1200 "$go" install -p 2 "$MODULE@$version" >"$log" 2>&1; then
    # The stamp is written last: a binary without one is installed again.
    rm -f "$stamp"
    mv "$build/server" "$binary" && echo "$version" >"$stamp" || exit 1
    rm -rf "$build" "$log"
    echo "ok livekit-server $version in ${binary#"$PWD"/}"
    exit 0
  fi
  rm -rf "$build"
  # Compiler errors follow a line with the package's name; they are not network errors.
  if grep -q '^# ' "$log"; then
    echo "livekit: $version does not build:" >&2
    tail -n 20 "$log" >&2
    exit 1
  fi
  echo "livekit: $version is not available: $(tail -n 1 "$log")" >&2
done
skip "no version of the server could be fetched (${VERSIONS[*]})"
