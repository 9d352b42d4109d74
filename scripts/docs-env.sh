#!/usr/bin/env bash
# docs-env.sh [PROGRAM ARGUMENT...]: creates the Python environment for the documentation pages in target/docs-env if it
# is missing or its requirements (docs/site/requirements.txt) changed; then runs a program from it. Exits with 77, after
# a line that begins with SKIPPED, if the package registry is unreachable. Safe to run concurrently: a lock lets one
# create it while the others wait.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/target/docs-env
list=$root/docs/site/requirements.txt
python=${PYTHON:-python3}

make_it() {
  local wanted
  wanted=$(cat "$list"; "$python" --version)
  [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ] || return 0
  echo "Making the Python environment of the documentation in target/docs-env (once)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --timeout 30 --retries 3 \
      --no-compile --only-binary :all: --no-deps -r "$list" >"$root/target/docs-pip.log" 2>&1; then
    if grep -qE 'Retrying \(Retry|NewConnectionError|NameResolutionError|Could not fetch URL|ProxyError|Connection refused' "$root/target/docs-pip.log"; then
      echo "SKIPPED: docs: the Python package registry is unreachable, so the pages were not built"
      return 77
    fi
    tail -n 30 "$root/target/docs-pip.log" >&2
    echo "docs: pip failed; its log: $root/target/docs-pip.log" >&2
    return 1
  fi
  printf '%s' "$wanted" >"$venv/installed"
}

mkdir -p "$root/target"
exec 9>"$root/target/docs-env.lock"
flock 9
status=0
make_it || status=$?
exec 9>&-
[ "$status" = 0 ] || exit "$status"
[ $# -gt 0 ] || exit 0
program=$1
shift
exec "$venv/bin/$program" "$@"
