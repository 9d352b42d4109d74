#!/usr/bin/env bash
# two-calls.sh WORK COMMAND...: a binding's first call, as its README shows it: COMMAND URL NAME [SECONDS]. Two of them
# receive each other's audio at the development SFU and, when there is one, at a LiveKit server; a single one reports
# that it received nothing and exits.
set -euo pipefail
work=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)

cat >"$work/two.sh" <<'TWO'
set -u
work=$1 url=$2
shift 2
timeout 60 "$@" "$url" ann 30 >"$work/ann" 2>&1 & first=$!
timeout 60 "$@" "$url" ben 30 >"$work/ben" 2>&1; second=$?
wait $first; first=$?
[ $first = 0 ] && [ $second = 0 ] && grep -q 'a second of ben' "$work/ann" && grep -q 'a second of ann' "$work/ben" && exit 0
echo "two-calls: they do not receive each other's audio at $url ($first, $second):" >&2
cat "$work/ann" "$work/ben" >&2
exit 1
TWO

bash "$work/two.sh" "$work" "$OFFHOOK_SFU_URL" "$@"
echo "ok first call: two receive each other's audio"
if timeout 30 "$@" "$OFFHOOK_SFU_URL" alone 1 >"$work/alone" 2>&1; then echo "two-calls: a single participant exits with 0" >&2; exit 1; fi
grep -q 'waiting 1 s at most for audio of another participant' "$work/alone" && grep -q 'no audio was received' "$work/alone" ||
  { echo "two-calls: a single participant does not report it:" >&2; cat "$work/alone" >&2; exit 1; }
echo "ok first call: one alone prints what it waits for, and exits"
code=0
"$root/scripts/with-livekit.sh" bash -c 'work=$1; shift; exec bash "$work/two.sh" "$work" "$OFFHOOK_LIVEKIT_URL" "$@"' two "$work" "$@" || code=$?
case $code in
  0) echo "ok first call: two receive each other's audio at a LiveKit server" ;;
  77) ;;
  *) exit $code ;;
esac
