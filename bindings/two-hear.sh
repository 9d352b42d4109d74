#!/usr/bin/env bash
# two-hear.sh WORK COMMAND...: a binding's first call, as its README shows it: COMMAND URL NAME [SECONDS]. Two of them hear
# each other at the development SFU and, where it is, at a LiveKit server; one alone says so and ends.
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
echo "two-hear: they do not hear each other at $url ($first, $second):" >&2
cat "$work/ann" "$work/ben" >&2
exit 1
TWO

bash "$work/two.sh" "$work" "$OFFHOOK_SFU_URL" "$@"
echo "ok first call: two hear each other"
if timeout 30 "$@" "$OFFHOOK_SFU_URL" alone 1 >"$work/alone" 2>&1; then echo "two-hear: who is alone says it went well" >&2; exit 1; fi
grep -q 'waiting 1 s at most for somebody to be heard' "$work/alone" && grep -q 'nobody was heard' "$work/alone" ||
  { echo "two-hear: who is alone does not say so:" >&2; cat "$work/alone" >&2; exit 1; }
echo "ok first call: one alone says what it waits for, and ends"
code=0
"$root/scripts/with-livekit.sh" bash -c 'work=$1; shift; exec bash "$work/two.sh" "$work" "$OFFHOOK_LIVEKIT_URL" "$@"' two "$work" "$@" || code=$?
case $code in
  0) echo "ok first call: two hear each other at a LiveKit server" ;;
  77) ;;
  *) exit $code ;;
esac
