#!/usr/bin/env bash
# build-engine-bench.sh OUTPUT: builds the program that measures the library's engine alone, from
# benches/baseline/src/engine.rs and the library built by scripts/build.sh, with the crates of that build. Without
# cargo, which would build the library again.
set -euo pipefail
cd "$(dirname "$0")/.."
externs=$(${CARGO:-cargo} build --release --locked --workspace --lib --message-format=json --quiet | python3 -c '
import json, sys
wanted = {"bytes", "futures_util", "offhook_proto", "prost", "serde_json", "soketto", "tokio", "tokio_util"}
for line in sys.stdin:
    said = json.loads(line)
    if said.get("reason") == "compiler-artifact" and said["target"]["name"].replace("-", "_") in wanted:
        name = said["target"]["name"].replace("-", "_")
        files = [file for file in said["filenames"] if file.endswith(".rlib") and "/release/" in file]
        # The crates of build scripts have the same names, and are not optimised.
        if files and "lib" in said["target"]["kind"] and said["profile"]["opt_level"] == "3":
            print("--extern", f"{name}={files[-1]}")
')
# shellcheck disable=SC2086
"${RUSTC:-rustc}" --edition 2021 -O -C debuginfo=line-tables-only benches/baseline/src/engine.rs -o "$1" \
  --extern offhook=target/built/liboffhook.rlib $externs -L dependency=target/release/deps
