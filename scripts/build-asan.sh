#!/usr/bin/env bash
# Builds the library with AddressSanitizer in target/asan. RUSTC_BOOTSTRAP makes the stable compiler accept -Z. The
# explicit --target keeps the flag away from build scripts. It uses the dev profile, because overflow checks and debug
# assertions are useful in the same run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
# libgcc's __register_frame etc. stay unchanged: only -Z flags differ from the normal build.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
  cargo rustc -p offhook --lib --crate-type cdylib --target "$target" --target-dir target/asan -- \
    -Clink-arg=-Wl,-soname,liboffhook.so.1
lib=target/asan/$target/debug/liboffhook.so
scripts/stage-lib.sh "$(dirname "$lib")" target/asan/lib

# Verify the instrumentation: the library must import the sanitizer runtime and contain its checks.
symbols=$(nm -D "$lib")
grep -q ' __asan_init$' <<<"$symbols" || { echo "build-asan: $lib does not call __asan_init" >&2; exit 1; }
reports=$(objdump -d --no-show-raw-insn "$lib" | grep -c 'call.*__asan_report_' || true)
if [ "$reports" -lt 1000 ]; then
  echo "build-asan: only $reports instrumented accesses in $lib: the sanitizer is not in" >&2
  exit 1
fi
echo "AddressSanitizer is in: $reports instrumented accesses"
