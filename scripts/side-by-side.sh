#!/usr/bin/env bash
# side-by-side.sh TARGET...: runs Makefile targets in parallel, each with its output in target/side/. They mostly wait
# for audio. Their common dependencies must be built already (BUILT=1 skips them in make). Prints how long each took,
# and the whole output of those that failed.
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p target/side
export BUILT=1
declare -A jobs begun
for target in "$@"; do
  ${MAKE:-make} --no-print-directory "$target" >"target/side/$target.log" 2>&1 &
  jobs[$target]=$! begun[$target]=$SECONDS
done
trap 'kill $(jobs -p) 2>/dev/null' EXIT
failed=0
for target in "$@"; do
  if wait "${jobs[$target]}"; then
    grep -E '^(SKIPPED|skipped)' "target/side/$target.log" || true
    echo "ok $target ($((SECONDS - begun[$target])) s at most)"
  else
    failed=1
    echo "FAILED $target; its output:"
    sed 's/^/    /' "target/side/$target.log"
  fi
done
exit "$failed"
