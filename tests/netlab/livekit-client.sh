#!/usr/bin/env bash
# Fetches livekit-client, LiveKit's client for browsers (Apache-2.0), into target/livekit/livekit-client.js. Only tests
# use it; nothing of it is shipped. Keeps an existing one. Exits with 77, after a line that begins with SKIPPED, without
# npm or without its registry; a file with another checksum is an error.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/target/livekit

VERSION=2.23.0
# SHA-512 of the package, as the registry lists it.
INTEGRITY=sha512-j9Kg86nJjBjNFUD+ukp2jwMCGa0k+YD5gU//RzAM+ZY3pbG631QCte7fQjwqWMmtBzhDJL9nKYuOLMv/9IbAxg==

mkdir -p "$out"
exec 9>"$out/lock"
flock 9
[ "$(cat "$out/livekit-client.version" 2>/dev/null)" != "$VERSION" ] || exit 0
skip() { echo "SKIPPED: netlab: the browser's client: $1"; exit 77; }
command -v npm >/dev/null || skip "npm is not installed"
work=$(mktemp -d "$out/livekit-client.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && timeout 120 npm pack "livekit-client@$VERSION" >npm.log 2>&1); then
  tail -n 5 "$work/npm.log" >&2
  skip "npm could not fetch livekit-client $VERSION"
fi
package=$work/livekit-client-$VERSION.tgz
found=sha512-$(openssl dgst -sha512 -binary "$package" | base64 -w0)
[ "$found" = "$INTEGRITY" ] || { echo "netlab: livekit-client $VERSION has another checksum: $found" >&2; exit 1; }
tar -xzf "$package" -C "$work"
mv "$work/package/dist/livekit-client.umd.js" "$out/livekit-client.js"
echo "$VERSION" >"$out/livekit-client.version"
