#!/usr/bin/env bash
# make interop: creates the Python environment in target/interop if it is missing, generates the protobuf classes from
# proto/, and runs the scenarios. Without the package registry it skips with a message; every other failure is an error.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/target/interop
venv=$out/venv
mkdir -p "$out"

wanted=$(cat tests/interop/requirements.txt; python3 --version)
if [ "$(cat "$out/installed" 2>/dev/null)" != "$wanted" ]; then
  echo "Making the Python environment in target/interop/venv (once)"
  rm -rf "$venv" "$out/installed"
  python3 -m venv "$venv"
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --timeout 30 --retries 3 \
      --only-binary :all: -r tests/interop/requirements.txt >"$out/pip.log" 2>&1; then
    if grep -qE 'Retrying \(Retry|NewConnectionError|NameResolutionError|Could not fetch URL|ProxyError|Connection refused' "$out/pip.log"; then
      echo "SKIPPED: interop: the Python package registry is unreachable, so aiortc could not be installed"
      exit 0
    fi
    tail -n 30 "$out/pip.log" >&2
    echo "interop: pip failed; its log: $out/pip.log" >&2
    exit 1
  fi
  printf '%s' "$wanted" >"$out/installed"
fi

rm -rf "$out/gen" && mkdir -p "$out/gen"
"$venv/bin/python" -m grpc_tools.protoc -Iproto --python_out="$out/gen" \
  stream/models.proto stream/signal.proto stream/event.proto
PYTHONPATH="$out/gen" PYTHONDONTWRITEBYTECODE=1 timeout -k 5 180 "$venv/bin/python" tests/interop/interop.py \
  --sfu target/built/offhook-sfu --program target/demo/bin/call --out "$out" "$@"
