#!/usr/bin/env bash
# Creates the Python environment of the official LiveKit client in target/livekit when it is missing, then runs a
# program in it: env.sh PROGRAM.py [ARGUMENT...], from the caller's directory. Without a program it only creates the
# environment. Exits with 77, after a line that begins with SKIPPED, when the package registry is unreachable or has
# no wheel for this machine; any other failure is an error. Concurrent runs are safe: one creates it, the others wait.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
out=$root/target/livekit
venv=$out/venv
list=$root/tests/livekit/official/requirements.txt
mkdir -p "$out"

make_it() {
  local wanted
  wanted=$(cat "$list"; python3 --version)
  [ "$(cat "$out/installed" 2>/dev/null)" != "$wanted" ] || return 0
  echo "Making the Python environment in target/livekit/venv (once)" >&2
  rm -rf "$venv" "$out/installed"
  python3 -m venv "$venv"
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --timeout 30 --retries 3 \
      --only-binary :all: -r "$list" >"$out/pip.log" 2>&1; then
    if grep -qE 'Retrying \(Retry|NewConnectionError|NameResolutionError|Could not fetch URL|ProxyError|Connection refused' "$out/pip.log"; then
      echo "SKIPPED: livekit: the Python package registry is unreachable, so the official client could not be installed"
      return 77
    fi
    if grep -qE 'No matching distribution found for livekit' "$out/pip.log"; then
      echo "SKIPPED: livekit: there is no wheel of the official client for this machine"
      return 77
    fi
    tail -n 30 "$out/pip.log" >&2
    echo "livekit: pip failed; its log: $out/pip.log" >&2
    return 1
  fi
  printf '%s' "$wanted" >"$out/installed"
}

# The lock is released before the program runs: processes that a test leaves running must not hold it.
exec 9>"$out/lock"
flock 9
status=0
make_it || status=$?
exec 9>&-
[ "$status" = 0 ] || exit "$status"
[ $# -gt 0 ] || exit 0
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" "$@"
