#!/usr/bin/env bash
# with-sfu.sh COMMAND...: starts a development SFU and runs a command with the environment of the binding tests:
#   OFFHOOK_SFU_URL    the SFU; its control API is below /ctl (docs/sfu.md)
#   OFFHOOK_STAGE      the library as installed (make stage): include, lib, lib/pkgconfig
#   OFFHOOK_OTHER_ABI  a library for LD_PRELOAD that reports another ABI (tests/bindings/other_abi.c)
# pkg-config and the loader use that stage. The exit code is the command's.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export OFFHOOK_STAGE=${OFFHOOK_STAGE:-$root/target/stage}
sfu=${OFFHOOK_SFU:-$root/target/built/offhook-sfu}
[ -e "$OFFHOOK_STAGE/lib/pkgconfig/offhook.pc" ] || { echo "with-sfu: nothing in $OFFHOOK_STAGE: make stage" >&2; exit 2; }
[ -x "$sfu" ] || { echo "with-sfu: $sfu is not built: make build" >&2; exit 2; }
export PKG_CONFIG_PATH=$OFFHOOK_STAGE/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export LD_LIBRARY_PATH=$OFFHOOK_STAGE/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OFFHOOK_OTHER_ABI=$work/libother_abi.so
${CC:-cc} -shared -fPIC -o "$OFFHOOK_OTHER_ABI" "$root/tests/bindings/other_abi.c" || exit 2

mkfifo "$work/stdin"
"$sfu" --listen 127.0.0.1:0 --log warn --exit-with-stdin <"$work/stdin" >"$work/url" 2>"$work/log" &
server=$!
exec 9>"$work/stdin"          # the SFU runs until this descriptor closes
for _ in $(seq 200); do
  OFFHOOK_SFU_URL=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/url")
  [ -n "$OFFHOOK_SFU_URL" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.05
done
[ -n "$OFFHOOK_SFU_URL" ] || { echo "with-sfu: the SFU did not start:" >&2; cat "$work/log" >&2; exit 2; }
export OFFHOOK_SFU_URL
"$@" 9>&-
code=$?
exec 9>&-
for _ in $(seq 100); do kill -0 "$server" 2>/dev/null || break; sleep 0.02; done
kill -9 "$server" 2>/dev/null
[ "$code" = 0 ] || { echo "--- the end of the SFU's log" >&2; tail -15 "$work/log" >&2; }
exit "$code"
