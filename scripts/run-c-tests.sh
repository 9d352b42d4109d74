#!/usr/bin/env bash
# run-c-tests.sh [plain|valgrind|helgrind|asan|faults|livekit] [FILTER]
#
# Compiles tests/c/*.c (with tests/c/support/*.c; faults: tests/faults/*.c, with the library that makes system calls
# fail; livekit: tests/livekit/*.c, on a stand with the real LiveKit server, see docs/livekit-stand.md) and runs each
# against its own development SFU, whose URL is in OFFHOOK_SFU_URL. OFFHOOK_TEST_SCALE is the slowdown of this run (1,
# 4, 20), for the test's own deadlines. Exit code 0 passes, anything else fails.
#
# Directives in a comment at the beginning of a test:
#   test: timeout=SECONDS            instead of 60 (multiplied by the scale's share below)
# test: stand=--nodes,2,--proxy    livekit: arguments of the stand
#   test: not-under=valgrind REASON  printed as skipped, with the reason
# test: alone REASON               run after the others, with no other test at the same time
#   test: header=DIR                 compiled against the offhook.h in DIR; "newer": one of a later release, see tests/abi/newer.py
#
# The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
mode=${1:-plain}
filter=${2:-}
export LC_ALL=C

target=$(rustc -vV | sed -n 's/^host: //p')
sanitize=() dir=tests/c failing=()
case $mode in
  faults)   build=target/built; scale=1; stretch=1; jobs=1; dir=tests/faults ;;
  livekit)  build=target/built; scale=1; stretch=1; jobs=2; dir=tests/livekit ;;
  plain)    build=target/built; scale=1; stretch=1; jobs=${JOBS:-2} ;;
  valgrind) build=target/built; scale=20; stretch=6; jobs=${JOBS:-2} ;;
  helgrind) build=target/built; scale=20; stretch=6; jobs=${JOBS:-2} ;;
  asan)     build=target/asan/$target/debug; scale=4; stretch=3; jobs=${JOBS:-2}
            sanitize=(-fsanitize=address -fno-omit-frame-pointer) ;;
  *) echo "run-c-tests: plain, valgrind, helgrind, asan, faults or livekit, not '$mode'" >&2; exit 2 ;;
esac
sfu=${OFFHOOK_SFU:-target/built/offhook-sfu}
stand=target/built/offhook-livekit word=url
if [ "$mode" = livekit ]; then
  word=control
  [ -x target/tools/livekit-server ] || { echo "run-c-tests: no LiveKit server: make livekit" >&2; exit 2; }
fi
[ -x "$sfu" ] || { echo "run-c-tests: $sfu is not built: make build" >&2; exit 2; }

# Use another build of the library during development: OFFHOOK_BUILD=target/debug.
build=${OFFHOOK_BUILD:-$build}
out=target/ctests/$mode
mkdir -p "$out"
scripts/stage-lib.sh "$build" "$out/lib" || exit 2

shopt -s nullglob
support=(tests/c/support/*.c)
if [ "$mode" = faults ]; then
  support+=(tests/faults/support/attempt.c)
  # Before liboffhook, and so before the C library in the symbol search order.
  failing=(-Itests/faults/support -Wl,--no-as-needed "$out/lib/libfail.so" -Wl,--as-needed)
  ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -O1 -fPIC -shared tests/faults/support/fail.c \
    -o "$out/lib/libfail.so" -ldl || exit 2
fi
tests=()
# Helgrind checks only pthread's locks and threads, and is too slow for media: only programs without media.
helgrind=" handles refuse "
for source in "$dir"/*.c; do
  name=$(basename "$source" .c)
  [[ $mode == helgrind && -z $filter && $helgrind != *" $name "* ]] && continue
  [[ -z $filter || $name == *$filter* ]] && tests+=("$name")
done
[ ${#tests[@]} -gt 0 ] || { echo "run-c-tests: no test in $dir matches '$filter'" >&2; exit 2; }

compile() { # name
  local inputs=("$dir/$1.c" "${support[@]}") newer
  newer=$(find "${inputs[@]}" include tests/c tests/faults scripts/run-c-tests.sh -name '*.[ch]*' -newer "$out/$1" 2>/dev/null | head -1)
  [ -x "$out/$1" ] && [ -z "$newer" ] && return 0
  local header=$(directive "$1" header)
  if [ "$header" = newer ]; then
    header=$out/newer
    python3 tests/abi/newer.py include/offhook.h "$header/offhook.h" || return 1
  fi
  ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread -g -O1 "${sanitize[@]}" \
    -I"${header:-include}" -Itests/c/support "${inputs[@]}" -o "$out/$1" "${failing[@]}" \
    -L"$out/lib" -loffhook -lm "-Wl,-rpath,$PWD/$out/lib"
}

directive() { # name key -> value, from the first 20 lines
  sed -n "1,20s/.*test:.*\b$2=\([^ ]*\).*/\1/p" "$dir/$1.c" | head -1
}

run() { # name; writes $out/name.log and name.result
  local name=$1 log=$out/$1.log limit url pipe code start end seconds fd
  limit=$(directive "$name" timeout)
  limit=$((${limit:-60} * stretch))
  pipe=$out/$name.stdin
  rm -f "$pipe" && mkfifo "$pipe"
  : >"$out/$name.sfu"
  local command=("$sfu" --listen 127.0.0.1:0 --exit-with-stdin)
  if [ "$mode" = livekit ]; then
    local more=$(directive "$name" stand)
    command=("$stand" --server target/tools/livekit-server ${more//,/ } --out "$out/$name.stand" --exit-with-stdin)
  fi
  "${command[@]}" <"$pipe" >"$out/$name.sfu" 2>"$out/$name.sfu.log" &
  local server=$!
  exec {fd}>"$pipe"            # the SFU runs until this descriptor closes
  url=
  for _ in $(seq 200); do
    url=$(sed -n 's/.*"'"$word"'"[^"]*"\([^"]*\)".*/\1/p' "$out/$name.sfu" | head -1)
    [ -n "$url" ] && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  start=$(date +%s%N)
  if [ -z "$url" ]; then
    code=125
    # The stand exits with 77 and a message if this machine lacks something: a skip, never a success.
    if ! kill -0 "$server" 2>/dev/null; then
      wait "$server"
      [ $? = 77 ] && code=77
    fi
    echo "the SFU did not start; its log: $out/$name.sfu.log" >"$log"
  else
    local wrap=()
    if [ "$mode" = valgrind ]; then
      wrap=(valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect
            --errors-for-leak-kinds=definite --num-callers=30 --fair-sched=try)
      [ -e tests/c/valgrind.supp ] && wrap+=(--suppressions=tests/c/valgrind.supp)
    fi
    if [ "$mode" = helgrind ]; then
      wrap=(valgrind --tool=helgrind -q --error-limit=no --error-exitcode=99 --num-callers=30 --fair-sched=try --history-level=none
            --suppressions=tests/c/helgrind.supp)
    fi
    if [ "$mode" = livekit ]; then
      export OFFHOOK_LIVEKIT=$(head -1 "$out/$name.sfu")
      # Logs the events before a failure; these two tests install a log callback themselves.
      case $name in rights|secrets) ;; *) export OFFHOOK_TEST_LOG=${OFFHOOK_TEST_LOG:-4} ;; esac
    fi
    OFFHOOK_SFU_URL=$url OFFHOOK_TEST_SCALE=$scale OFFHOOK_TEST_MODE=$mode \
      ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=98:detect_stack_use_after_return=1 \
      LSAN_OPTIONS=$([ -e tests/c/lsan.supp ] && echo "suppressions=$PWD/tests/c/lsan.supp") \
      RUST_BACKTRACE=0 timeout -k 5 "$limit" "${wrap[@]}" "$out/$name" >"$log" 2>&1 {fd}>&-
    code=$?
  fi
  end=$(date +%s%N)
  exec {fd}>&-
  for _ in $(seq 100); do kill -0 "$server" 2>/dev/null || break; sleep 0.02; done
  kill -9 "$server" 2>/dev/null
  wait "$server" 2>/dev/null
  rm -f "$pipe"
  seconds=$(((end - start) / 1000000))
  seconds=$((seconds / 1000)).$(printf '%03d' $((seconds % 1000)) | cut -c1-1)
  case $code in
    0)       echo "ok $name ($seconds s)" ;;
    77)      echo "skipped $name: $(grep -h -m1 SKIPPED "$log" "$out/$name.sfu.log" "$out/$name.sfu")" ;;
    124|137) echo "FAILED $name ($seconds s): no end within $limit s" ;;
    99)      [[ $mode == *grind ]] && echo "FAILED $name ($seconds s): valgrind found errors" \
               || echo "FAILED $name ($seconds s): exit code 99" ;;
    98)      echo "FAILED $name ($seconds s): a sanitizer found errors (or exit code 98)" ;;
    *)       echo "FAILED $name ($seconds s): exit code $code" ;;
  esac >"$out/$name.result"
  cat "$out/$name.result"
  if [ "$code" != 0 ] && [ "$code" != 77 ]; then
    echo "--- the end of $log"; tail -n 120 "$log" | sed 's/^/    /'
    echo "--- the end of $out/$name.sfu.log"; tail -n 15 "$out/$name.sfu.log" | sed 's/^/    /'
  fi
}

echo "${#tests[@]} C tests, $mode, $jobs at a time"
passed=0 failed=0 skipped=0
others=() alone=()
for name in "${tests[@]}"; do
  if sed -n 1,20p "$dir/$name.c" | grep -q "test:.*\balone\b"; then alone+=("$name"); else others+=("$name"); fi
done
for name in "${others[@]}" "${alone[@]}"; do
  [[ " ${alone[*]} " == *" $name "* ]] && { jobs=1; wait; }
  rm -f "$out/$name.result"
  if sed -n 1,20p "$dir/$name.c" | grep -q "test:.*not-under=$mode"; then
    reason=$(sed -n "1,20s/.*not-under=$mode *//p" "$dir/$name.c" | sed 's, *\*/ *$,,')
    echo "skipped $name: ${reason:-no reason given}"
    skipped=$((skipped + 1))
    continue
  fi
  if ! compile "$name"; then
    echo "FAILED $name: does not compile" | tee "$out/$name.result"
    continue
  fi
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  run "$name" &
done
wait
for name in "${tests[@]}"; do
  [ -e "$out/$name.result" ] || continue
  case $(head -1 "$out/$name.result") in
    ok*) passed=$((passed + 1)) ;;
    skipped*) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
  esac
done
[ "$skipped" = 0 ] || echo "$skipped skipped under $mode"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
