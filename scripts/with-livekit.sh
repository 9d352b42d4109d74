#!/usr/bin/env bash
# with-livekit.sh COMMAND...: starts the real LiveKit server (docs/livekit-stand.md) and runs a command with
#   OFFHOOK_LIVEKIT_URL                    the server
#   LIVEKIT_API_KEY, LIVEKIT_API_SECRET    its key and secret, for tokens
#   OFFHOOK_LIVEKIT                        the stand's JSON line, with all of this and its control API
# The exit code is the command's. Without a server: a line that begins with SKIPPED, and exit code 77.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
server=$root/target/tools/livekit-server stand=$root/target/built/offhook-livekit
[ -x "$server" ] || { echo "SKIPPED: with-livekit: there is no LiveKit server: make livekit" >&2; exit 77; }
[ -x "$stand" ] || { echo "with-livekit: $stand is not built: make build" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/stdin"
"$stand" --server "$server" --out "$work/stand" --exit-with-stdin <"$work/stdin" >"$work/line" 2>"$work/log" &
process=$!
exec 8>"$work/stdin"          # the stand runs until this descriptor closes
for _ in $(seq 400); do
  grep -q '}' "$work/line" && break
  kill -0 "$process" 2>/dev/null || break
  sleep 0.05
done
OFFHOOK_LIVEKIT=$(head -1 "$work/line")
said() { sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' <<<"$OFFHOOK_LIVEKIT"; }
if [ -z "$(said secret)" ]; then
  wait "$process"
  code=$?
  cat "$work/log" >&2
  [ "$code" = 77 ] && exit 77
  echo "with-livekit: the server did not start" >&2
  exit 2
fi
OFFHOOK_LIVEKIT_URL=$(said url) # the last match: the first node's
LIVEKIT_API_KEY=$(said key) LIVEKIT_API_SECRET=$(said secret)
export OFFHOOK_LIVEKIT OFFHOOK_LIVEKIT_URL LIVEKIT_API_KEY LIVEKIT_API_SECRET
"$@" 8>&-
code=$?
exec 8>&-
for _ in $(seq 100); do kill -0 "$process" 2>/dev/null || break; sleep 0.02; done
kill -9 "$process" 2>/dev/null
exit "$code"
