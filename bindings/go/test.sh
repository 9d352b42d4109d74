#!/usr/bin/env bash
# test.sh: all checks of the Go binding: vet, tests under the race detector, with checkptr and with cgo's strict
# checks, the static library, the examples, the benchmark. Beside an SFU: scripts/with-sfu.sh bindings/go/test.sh
# Without Go 1.24 or newer it prints SKIPPED and exits with 77.
set -euo pipefail
cd "$(dirname "$0")"

skip() { echo "SKIPPED: test-go: $1"; exit 77; }
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOPROXY=off
found=
for go in "$(command -v go || true)" /usr/local/go/bin/go; do
  [ -x "$go" ] || continue
  found=$(cd / && "$go" env GOVERSION) # outside of the module, which an old version refuses
  [ "$(printf '%s\n' go1.24 "$found" | sort -V | head -1)" = go1.24 ] && { PATH=$(dirname "$go"):$PATH; break; }
  go=
done
[ -n "$found" ] || skip "there is no Go; install 1.24 or newer, in PATH or /usr/local/go (Debian 12 has an older one)"
[ -x "$go" ] || skip "$found is too old; install Go 1.24 or newer, in PATH or /usr/local/go"
command -v "$(go env CC)" >/dev/null || skip "cgo needs $(go env CC); install gcc"
command -v pkg-config >/dev/null || skip "there is no pkg-config; install it"

say() { echo "--- go: $*"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "gofmt and vet"
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "gofmt: $unformatted"; exit 1; }
go vet ./...
go vet -tags "offhook_bench offhook_static" ./...

say "without cgo: one line that says what is missing"
if CGO_ENABLED=0 go build -o "$work/" ./... 2>"$work/nocgo"; then echo "it was built without cgo"; exit 1; fi
grep -v '^#' "$work/nocgo" >"$work/lines" || true
[ "$(wc -l <"$work/lines")" = 1 ] && grep -q 'needs cgo: set CGO_ENABLED=1' "$work/lines" || { cat "$work/nocgo"; exit 1; }

say "tests with the race detector and checkptr"
[ -n "${OFFHOOK_LIVEKIT:-}" ] || echo "SKIPPED: TestLiveKit: no OFFHOOK_LIVEKIT: what only LiveKit has is not tested"
go test -count=1 -timeout 120s -race -gcflags=all=-d=checkptr .

say "tests with GODEBUG=cgocheck=1 and GOEXPERIMENT=cgocheck2"
GODEBUG=cgocheck=1 GOEXPERIMENT=cgocheck2 go test -count=1 -timeout 120s .

say "tests, as built with the header of a later release, in which every structure is longer"
later=$work/later
mkdir -p "$later" && cp -a "$OFFHOOK_STAGE/include" "$OFFHOOK_STAGE/lib" "$later/"
python3 ../../tests/abi/newer.py ../../include/offhook.h "$later/include/offhook.h"
sed -i "s|$OFFHOOK_STAGE|$later|g" "$later/lib/pkgconfig/offhook.pc"
(
  export PKG_CONFIG_PATH=$later/lib/pkgconfig
  pkg-config --cflags offhook | grep -qF -- "-I$later/include"
  go test -count=1 -timeout 120s -run '^(TestJoin|TestSendReceive|TestParticipants|TestParticipantsSnapshot|TestSeveralTracks|TestPull|TestLog|TestCustom|TestOptions|TestToken|TestVersion|TestReconnect)$' .
)

say "the static library"
go test -tags offhook_static -c -o "$work/static.test" .
if ldd "$work/static.test" | grep liboffhook; then echo "it asks for the shared library"; exit 1; fi
OFFHOOK_TEST_STATIC=1 "$work/static.test" -test.timeout 60s -test.run 'TestLinked|TestSendReceive|TestPull$|TestHandlerPanics'

say "a module of its own, by replace as in the README"
mkdir "$work/agent" && cp examples/first/main.go "$work/agent"
path=github.com/offhook/offhook/bindings/go
grep -q "go mod edit -require=$path@v0.0.0" README.md && grep -q -- "-replace=$path=" README.md
(cd "$work/agent" && go mod init example.com/agent 2>/dev/null && go mod edit "-require=$path@v0.0.0" "-replace=$path=$OLDPWD" && go build -o agent ./...)

say "the examples"
go build -o "$work" ./examples/...
call=$(basename "$work")
"$work/call" --url "$OFFHOOK_SFU_URL" --user "alice-$call" --call "$call" --seconds 4 >"$work/alice" 2>"$work/alice.log" &
alice=$!
"$work/call" --url "$OFFHOOK_SFU_URL" --user "bob-$call" --call "$call" --seconds 3 >"$work/bob" 2>"$work/bob.log" || { cat "$work/bob.log"; exit 1; }
wait $alice || { cat "$work/alice.log"; exit 1; }
grep "received bob-$call for" "$work/alice" || { echo "alice did not receive bob's audio"; cat "$work/alice.log"; exit 1; }
grep "received alice-$call for" "$work/bob" || { echo "bob did not receive alice's audio"; cat "$work/bob.log"; exit 1; }
../two-calls.sh "$work" "$work/first"
if "$work/call" --url http://127.0.0.1:1 --user u --call c --seconds 5 2>"$work/log"; then echo "joined an unreachable server"; exit 1; fi
grep OH_ERR_NETWORK "$work/log"

say "the benchmark, a second of it"
SECONDS=1 go run -tags offhook_bench ./bench | tee "$work/bench"
grep -Eq '"frames":[1-9]' "$work/bench"
say "all passed"
