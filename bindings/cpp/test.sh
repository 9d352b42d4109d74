#!/usr/bin/env bash
# test.sh: all checks of the C++ binding, beside a development SFU: scripts/with-sfu.sh bindings/cpp/test.sh
# Builds in target/cpp (OFFHOOK_CPP_BUILD). Exits 77 with one line when a tool is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${OFFHOOK_CPP_BUILD:-$root/target/cpp}
[ -n "${OFFHOOK_SFU_URL:-}" ] || { echo "test-cpp: no SFU: scripts/with-sfu.sh bindings/cpp/test.sh" >&2; exit 2; }
for tool in g++:g++ cmake:cmake ctest:cmake readelf:binutils python3:python3; do
  command -v "${tool%%:*}" >/dev/null 2>&1 || { echo "SKIPPED: test-cpp: there is no ${tool%%:*}: apt-get install ${tool##*:}"; exit 77; }
done
generator=()
if command -v ninja >/dev/null 2>&1; then generator=(-G Ninja); fi
say() { echo "test-cpp: $*"; }
complain() { echo "test-cpp: $*" >&2; exit 1; }
logged() { "$@" >"$build/log" 2>&1 || { tail -60 "$build/log" >&2; complain "failed: $*"; }; }
mkdir -p "$build/bin"

# The program in the README must be the example.
diff <(awk '/^```cpp$/ { on = 1; next } /^```$/ { on = 0 } on' "$here/README.md") "$here/examples/first_call.cpp" ||
  complain "README.md prints another program than examples/first_call.cpp"
while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 600 ] || complain "$file has more than 600 lines"
done < <(find "$here" -name '*.[ch]pp' -exec wc -l {} +)
"$root/scripts/check-bindings.py" cpp

# Installed as for a user; files keep their times, so that a second run builds only what has changed.
prefix=$build/prefix
mkdir -p "$prefix"
cp -a "$OFFHOOK_STAGE/include" "$OFFHOOK_STAGE/lib" "$prefix/"

say "each header alone; without exceptions; clang++ where it is"
flags=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I"$prefix/include")
for header in "$here"/include/offhook/*.hpp "$here"/include/offhook/detail/*.hpp; do
  echo "#include <offhook/${header#"$here"/include/offhook/}>"
done >"$build/headers"
sed 's/.*/& int main() {}/' "$build/headers" | while read -r line; do
  echo "${line%% int*}" | g++ -std=c++17 "${flags[@]}" -fsyntax-only -x c++ - || complain "does not stand alone: $line"
done
link=(-L"$prefix/lib" -loffhook -Wl,-rpath,"$prefix/lib" -pthread)
g++ -std=c++17 -fno-exceptions -fno-rtti "${flags[@]}" "$here/tests/no_exceptions.cpp" -o "$build/bin/no_exceptions" "${link[@]}"
"$build/bin/no_exceptions"
if printed=$( { "$build/bin/no_exceptions" --abort; } 2>&1); then complain "value() of a failure did not end the process"; fi
grep -q "OH_ERR_ARGUMENT" <<<"$printed" || complain "value() of a failure without exceptions prints '$printed'"
if command -v clang++ >/dev/null 2>&1; then
  for standard in 17 20; do
    for source in "$here"/tests/test_units.cpp "$here"/tests/test_events.cpp "$here"/examples/*.cpp; do
      clang++ -std=c++$standard "${flags[@]}" -fsyntax-only "$source" || complain "clang++ -std=c++$standard does not take $source"
    done
  done
else
  echo "SKIPPED: test-cpp: clang++ is not here: only g++ has compiled it (apt-get install clang)"
fi

say "find_package in a project of its own"
"$here/tests/consumer.sh"

# ThreadSanitizer of g++ 12 does not support the mapping addresses of newer kernels.
fixed=()
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed=(setarch "$(uname -m)" -R); fi
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
# The library is not built with ThreadSanitizer; see detail/tsan.hpp.
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:second_deadlock_stack=1

suite() { # NAME STANDARD SCALE [CMAKE OPTION...]
  local name=$1 standard=$2 scale=$3
  shift 3
  say "tests, $name, C++$standard"
  logged cmake -S "$here" -B "$build/$name" "${generator[@]}" -DCMAKE_PREFIX_PATH="${from:-$prefix}" -DCMAKE_CXX_STANDARD="$standard" "$@"
  logged cmake --build "$build/$name" --parallel 2
  (cd "$build/$name" && OFFHOOK_TEST_SCALE=$scale "${fixed[@]}" ctest ${only:+-R "$only"} --parallel 2 --output-on-failure) >"$build/$name.log" 2>&1 ||
    { grep -vE '^ +Start|Passed' "$build/$name.log" | tail -120 >&2; complain "tests failed: $name ($build/$name.log)"; }
  grep -E 'tests passed' "$build/$name.log"
}
suite plain 17 1
# Built with the header of a later release, in which every structure is longer.
later=$build/later
mkdir -p "$later"
cp -a "$prefix/include" "$prefix/lib" "$later/"
python3 "$root/tests/abi/newer.py" "$root/include/offhook.h" "$later/include/offhook.h"
from=$later only='^(join|send-receive|participants|pull|log|options|custom|events|participant-events|snapshot|several-tracks)$' suite later 17 1 -DCMAKE_CXX_FLAGS=-Wno-missing-field-initializers
suite address 17 3 -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-g1 -DOFFHOOK_SANITIZE=address
suite thread 20 4 -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-g1 -DOFFHOOK_SANITIZE=thread

say "examples"
strict=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread)
cflags=$(pkg-config --cflags offhook) libs="$(pkg-config --libs offhook) -Wl,-rpath,$prefix/lib"
"$here/../two-calls.sh" "$build" "$build/plain/first_call"
grep -q "^over: left" "$build/alone" || complain "first_call does not end well: $(cat "$build/alone")"

# A sender in the first of three calls; a program in pull mode watches them all from one thread.
watched() { # PROGRAM
  local name out
  name=$(basename "$1") out=$build/$(basename "$1").log
  "$1" --help | grep -q usage || complain "$name --help prints no usage"
  timeout 30 "$build/plain/call" --url "$OFFHOOK_SFU_URL" --user "sender-$name" --call "$name-1" --tone 440 --seconds 3 \
    >"$build/call-$name.log" 2>&1 &
  local sender=$!
  timeout 30 "$1" --url "$OFFHOOK_SFU_URL" --user watcher --seconds 2 "$name-1" "$name-2" "$name-3" >"$out" || complain "$name failed: $(cat "$out")"
  wait "$sender" || complain "call failed: $(cat "$build/call-$name.log")"
  [ "$(grep -c 'over after .* frames: left' "$out")" = 3 ] || complain "$name did not end three calls: $(cat "$out")"
  grep -qE "$name-1: over after [1-9][0-9]+ frames" "$out" || complain "$name received no audio: $(cat "$out")"
  grep -q "$name-1: sender-$name participant_joined" "$out" || complain "$name does not see the sender: $(cat "$out")"
  grep -qE 'received [0-9]+ frames, sent [1-9]' "$build/call-$name.log" || complain "call sent nothing: $(cat "$build/call-$name.log")"
  say "ok $name: three calls in one thread, beside a sender in C++"
}
gcc "${strict[@]}" $cflags "$root/examples/pull_epoll.c" -o "$build/bin/pull_epoll" $libs
watched "$build/bin/pull_epoll"
if pkg-config --exists libuv; then
  gcc "${strict[@]}" $cflags "$root/examples/pull_libuv.c" -o "$build/bin/pull_libuv" $libs $(pkg-config --cflags --libs libuv)
  watched "$build/bin/pull_libuv"
else
  echo "SKIPPED: test-cpp: examples/pull_libuv.c was neither compiled nor run: apt-get install libuv1-dev"
fi

# SIGINT leaves as Enter does.
timeout 30 "$build/plain/call" --url "$OFFHOOK_SFU_URL" --user dora --call interrupted >"$build/interrupted.log" 2>&1 < <(sleep 20) &
program=$!
for _ in $(seq 200); do grep -q "in the call" "$build/interrupted.log" && break; sleep 0.05; done
kill -INT "$program"
wait "$program" || complain "call does not leave on SIGINT: $(cat "$build/interrupted.log")"
grep -q "over: left" "$build/interrupted.log" || complain "call does not leave on SIGINT: $(cat "$build/interrupted.log")"

say "benchmarks, for a second: do they run?"
gcc -O2 "${strict[@]}" $cflags "$root/benches/handlers.c" -o "$build/bin/handlers_c" $libs -lm
for program in "$build/bin/handlers_c" "$build/plain/handlers_bench"; do
  timeout 60 "$program" 1 | python3 -c '
import json, sys
line = json.loads(sys.stdin.readline())
assert line["frames"] > 100 and line["events"] > 100 and line["frame_ns"]["p50"] > 0, line
assert line["allocations_per_frame"] == 0, line
print(json.dumps(line))' || complain "$program gives no figures"
done
say "all passed"
