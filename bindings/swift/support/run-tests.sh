#!/bin/bash
# Builds the package and runs its tests, its examples and its benchmark (briefly), where `swift` is on PATH and a
# development SFU beside (scripts/with-sfu.sh).
set -euo pipefail
package=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$package/../.." && pwd)
: "${OFFHOOK_SFU_URL:?run this through scripts/with-sfu.sh}"
scratch=$root/target/swift-build
cd "$package"
say() { echo "--- swift: $*"; }

say "the README shows what is tested"
diff <(sed -n '/<!-- first-call -->/,/^```$/p' README.md | sed '1,2d;$d') Sources/first-call/main.swift

say "building (some 30 seconds the first time)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
swift build --build-tests --scratch-path "$scratch" >"$log" 2>&1 || { cat "$log"; exit 1; }
! grep -E 'warning: ' "$log" || { echo "there are warnings" >&2; exit 1; }

say "tests"
timeout 150 swift test --skip-build --scratch-path "$scratch" "$@"

say "tests, as built with the header of a later release, in which every structure is longer"
(
  export PKG_CONFIG_PATH=$root/target/swift-later/lib/pkgconfig
  swift build --build-tests --scratch-path "$scratch-later" >"$log" 2>&1 || { cat "$log"; exit 1; }
  timeout 150 swift test --skip-build --scratch-path "$scratch-later" \
    --filter '/test(Join|SendReceive|Participants|SnapshotAndSeveralTracks|ParticipantsAndTracks|KindsOfEvents|EventsOfOtherProtocols|Pull|Log|Token|Reconnect)$'
)

bin=$(swift build --show-bin-path --scratch-path "$scratch")
say "examples: two calls that receive each other, and the first call of the README"
timeout 30 "$bin/call" --url "$OFFHOOK_SFU_URL" --user eve --call sw-example --tone 700 --seconds 3 </dev/null >"$log" &
other=$!
timeout 30 "$bin/call" --url "$OFFHOOK_SFU_URL" --user adam --call sw-example --seconds 2 </dev/null | tee "$log.2"
wait "$other"
for line in 'joined after' 'audio of eve' 'received eve for' 'the time is up' 'ended:'; do
  grep -q "$line" "$log.2" || { echo "the example does not print '$line'" >&2; exit 1; }
done
grep -q 'audio of adam' "$log"
rm -f "$log.2"
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT
../two-calls.sh "$work" "$bin/first-call"

say "the reference, by DocC"
"$package/support/docc.sh" "$root/target/docs-swift" || [ $? = 77 ]

say "benchmark, for a second and not optimised: only that it runs"
timeout 60 "$bin/bench" 1 | tee "$log"
grep -q '"language":"swift"' "$log"
say "all passed"
