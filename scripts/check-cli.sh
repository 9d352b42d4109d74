#!/usr/bin/env bash
# check-cli.sh [PROGRAM]: tests the program offhook (target/built/offhook) against a development SFU: exit codes, the
# report as text and JSON, steps on standard error, and that no secret is in the output or in the list of processes.
# Run it under scripts/with-sfu.sh.
set -uo pipefail
cd "$(dirname "$0")/.."
program=${1:-target/built/offhook}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
token=head5ecretHead.pay5ecretLoad.sig5ecretNature0123
fail() { echo "check-cli: $*" >&2; tail -n 30 "$work/out" "$work/err" >&2; exit 1; }
run() { # EXPECTED ARGUMENTS...
  local expected=$1 code; shift
  env -u LD_LIBRARY_PATH timeout 60 "$program" "$@" >"$work/out" 2>"$work/err"; code=$?
  [ $code = "$expected" ] || fail "exit code $code, not $expected: $*"
  if grep -q 5ecret "$work/out" "$work/err"; then fail "a secret is in the output: $*"; fi
}

run 0 --version
grep -q '^offhook [0-9.]*$' "$work/out" || fail "--version"
run 0 --help
grep -q '^usage: offhook doctor URL' "$work/out" || fail "--help"
for wrong in "" "surgeon" "doctor" "doctor a b" "doctor http://127.0.0.1:1 --ip 5" "doctor http://127.0.0.1:1 --timeout 0" \
             "doctor http://127.0.0.1:1 --no-such" "doctor nonsense" "doctor http://127.0.0.1:1 --token-file /nonexistent" \
             "doctor http://127.0.0.1:1 --protocol sip" "doctor wss://127.0.0.1:1 --api-key k --api-secret 5ecret" \
             "doctor http://127.0.0.1:1 --proxy ftp://u:5ecret@h"; do
  run 2 $wrong
done

run 0 doctor "$OFFHOOK_SFU_URL"
grep -q '^ok  *http ' "$work/out" || fail "the step http is not ok"
grep -q '^ok  *tcp ' "$work/err" || fail "no steps on standard error"
printf '%s\n' "$token" >"$work/token"
run 0 doctor "$OFFHOOK_SFU_URL" --user cli --call cli --token-file "$work/token" --json --quiet
[ ! -s "$work/err" ] || fail "--quiet prints"
python3 - "$work/out" <<'PY' || fail "the report is not as documented"
import json, sys
report = json.load(open(sys.argv[1]))
steps = {step["name"]: step for step in report["steps"]}
assert (report["format"], report["state"], report["complete"], report["failed"]) == (1, report["state"], True, 0)
assert steps["join"]["state"] == steps["publisher"]["state"] == "ok", steps
PY
OFFHOOK_TOKEN=$token OFFHOOK_ICE_SERVERS="stun:127.0.0.1:x turn:127.0.0.1:1?transport=tcp,user,5ecretPassword" \
  run 1 doctor http://127.0.0.1:1 --user cli --call cli
grep -q '^FAILED  *tcp .*' "$work/out" && grep -q '^FAILED  *turn ' "$work/out" && grep -q '^warning  *ice ' "$work/out" || fail "a closed port"

# Secrets of the command line are overwritten. The server is silent, so that there is time to look.
exec 8> >(python3 -c '
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(8); open(sys.argv[1], "w").write(str(s.getsockname()[1]) + "\n")
sys.stdin.read()' "$work/port")
for _ in $(seq 200); do [ -s "$work/port" ] && break; sleep 0.02; done
port=$(cat "$work/port")
rm -f "$work/err"
"$program" doctor "http://127.0.0.1:$port" --token "$token" --ice-server "turn:127.0.0.1:1,u,turn5ecret" --timeout 5 >"$work/out" 2>"$work/err" &
pid=$!
for _ in $(seq 200); do grep -qs . "$work/err" && break; sleep 0.02; done
arguments=$(tr '\0' ' ' <"/proc/$pid/cmdline") || fail "the process is gone"
case $arguments in *5ecret*) fail "a secret is in the list of processes: $arguments" ;; *xxxxx*) ;; *) fail "the arguments are $arguments" ;; esac
wait $pid
[ $? = 1 ] || fail "a silent server is no failure"
exec 8>&-
echo "ok offhook: exit codes, reports, no secrets"
