#!/usr/bin/env bash
# fuzz.sh [TARGET...]
#
# Builds the fuzz targets (AddressSanitizer, coverage, overflow checks) into target/fuzz and runs each for FUZZ_SECONDS
# (60). Findings are stored in target/fuzz/finds/<target>, new corpus entries in target/fuzz/corpus/<target>; the
# committed corpus is only read. FUZZ_SECONDS=0 only builds.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
seconds=${FUZZ_SECONDS:-60}
all=$(ls fuzz/corpus)
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address"
RUSTC_BOOTSTRAP=1 RUSTFLAGS=$(tr '\n' ' ' <<<"$flags") \
  cargo build --release --bins --manifest-path fuzz/Cargo.toml --target "$target" --target-dir target/fuzz
[ "$seconds" != 0 ] || exit 0
failed=0
for name in ${*:-$all}; do
  mkdir -p "target/fuzz/corpus/$name" "target/fuzz/finds/$name"
  log=target/fuzz/$name.log
  if ASAN_OPTIONS=detect_leaks=0 "target/fuzz/$target/release/$name" -max_total_time="$seconds" -timeout=20 \
      -rss_limit_mb=4096 -max_len=4096 -print_final_stats=1 -artifact_prefix="target/fuzz/finds/$name/" \
      "target/fuzz/corpus/$name" "fuzz/corpus/$name" >"$log" 2>&1; then
    echo "ok $name: $(sed -n 's/stat::number_of_executed_units: *//p' "$log") runs in $seconds s, $(grep -o 'cov: [0-9]*' "$log" | tail -1)"
  else
    failed=1
    echo "FAILED $name: $log"
    tail -n 30 "$log" | sed 's/^/    /'
  fi
done
exit "$failed"
