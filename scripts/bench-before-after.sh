#!/usr/bin/env bash
# bench-before-after.sh REVISION [ROUNDS]: runs `make bench` with the library of an older revision and with this tree's,
# in turn (before, after, before, after: ROUNDS each, default 2), with the same SFU and tools. The worker is built from
# each revision's own source, because the interface may differ. Prints the median and the range of every figure, and
# writes them to target/before/summary.json. Includes LiveKit when its server is
# installed (make livekit). Instructions per packet are in `make bench` only: older workers cannot count them.
#
# BENCH_SECONDS=10, BENCH_SESSIONS=1,10,50 and BENCH_MORE="--reconnects 6" set the length of the run.
set -euo pipefail
cd "$(dirname "$0")/.."
revision=${1:?usage: bench-before-after.sh REVISION [ROUNDS]}
rounds=${2:-2}
seconds=${BENCH_SECONDS:-10}
sessions=${BENCH_SESSIONS:-1,10,50}
home=$PWD/target/before
commit=$(git rev-parse --verify --short "$revision^{commit}")

make --no-print-directory build
mkdir -p "$home"
git worktree prune
if [ "$(git -C "$home/source" rev-parse --short HEAD 2>/dev/null)" = "$commit" ]; then
  : # its worker may have been adapted
elif [ -e "$home/source/.git" ]; then
  git -C "$home/source" checkout -q -f --detach "$commit"
else
  git worktree add -q --detach "$home/source" "$commit"
fi
scripts/say.sh "Building the library of $commit (first time: some minutes)"
"${CARGO:-cargo}" build --release --locked -p offhook --lib --manifest-path "$home/source/Cargo.toml" \
  --target-dir "$home/target"
"$home/source/scripts/stage-lib.sh" "$home/target/release" "$home/lib"

worker() { # source, library's folder, output
  local files=("$1"/benches/worker.c "$1"/benches/reconnect.c)
  [ ! -e "$1/benches/packets.c" ] || files+=("$1/benches/packets.c")
  ${CC:-cc} -O2 -g -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread "-I$1/include" "${files[@]}" \
    -o "$3" -L"$2" -loffhook -lm "-Wl,-rpath,$2"
}
# Older workers have other names for the gaps of a reconnect, and do not report the heap: they get what is missing.
adapt() { # source
  python3 - "$1/benches" <<'PYTHON'
import pathlib, sys

path = pathlib.Path(sys.argv[1]) / "reconnect.c"
text = path.read_text()
path.write_text(text.replace("hears_gap_ms", "receive_gap_ms").replace("heard_gap_ms", "send_gap_ms"))

path = pathlib.Path(sys.argv[1]) / "worker.c"
text = path.read_text()
if "heap_kb" not in text:
    for old, new in [
        ("#include <math.h>", "#include <malloc.h>\n#include <math.h>"),
        ("struct args args =", "static double heap_kb(void)\n{\n    struct mallinfo2 heap = mallinfo2();\n"
         "    return (double)(heap.uordblks + heap.hblkhd) / 1024;\n}\nstatic double heap_running;\n\nstruct args args ="),
        (r'line("{\"kind\":\"idle\"}");', r'line("{\"kind\":\"idle\",\"heap_kb\":%.1f}", heap_kb());'),
        ('        expect("stop");\n', '        expect("stop");\n        heap_running = heap_kb();\n'),
        (r'\"writes_refused\":%ld,\"join_ms\":[", args.n, frames, late, concealed, dropped, refused);',
         r'\"writes_refused\":%ld,\"heap_kb\":%.1f,\"join_ms\":[", args.n, frames, late, concealed, dropped, refused, heap_running);'),
    ]:
        assert text.count(old) == 1, (text.count(old), old)
        text = text.replace(old, new)
    path.write_text(text)
PYTHON
}
lookup() { # source, library, dependencies, output
  "${RUSTC:-rustc}" --edition 2021 -O "$1/examples/handle_lookup.rs" -o "$4" --extern "offhook=$2" -L "dependency=$3"
}
adapt "$home/source"
worker "$home/source" "$home/lib" "$home/worker-before"
worker "$PWD" "$PWD/target/lib" "$home/worker-after"
lookup "$home/source" "$home/target/release/liboffhook.rlib" "$home/target/release/deps" "$home/lookup-before"
lookup . target/built/liboffhook.rlib target/release/deps "$home/lookup-after"

rm -rf "$home"/runs
mkdir -p "$home"/runs
for round in $(seq "$rounds"); do
  for side in before after; do
    [ $side = before ] && lib=$home/lib || lib=$PWD/target/lib
    out=$home/runs/$side-$round
    scripts/say.sh "$side, $round of $rounds"
    target/built/offhook-bench --sfu target/built/offhook-sfu --worker "$home/worker-$side" \
      --lookup "$home/lookup-$side" \
      --library "$lib/liboffhook.so" --out "$out" --watch-seconds "$seconds" --sessions "$sessions" \
      ${BENCH_MORE:-} >"$out.log" || { tail -5 "$out.log" >&2; exit 1; }
    if [ -x target/tools/livekit-server ]; then
      target/built/offhook-bench --livekit target/tools/livekit-server --worker "$home/worker-$side" \
        --library "$lib/liboffhook.so" --out "$out" --watch-seconds "$seconds" --sessions "$sessions" --rounds 1 \
        >>"$out.log" || { tail -5 "$out.log" >&2; exit 1; }
    fi
  done
done

python3 - "$home" "$commit" "$rounds" <<'PYTHON'
import json, pathlib, statistics, sys

home, commit, rounds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def leaves(value, name=""):
    """All numbers of a summary by name; sessions by their number; without the official client's."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "offhook" or not name and key == "livekit":
                yield from leaves(inner, f"{name}livekit." if key == "livekit" else name)
            elif key == "median":
                yield name.rstrip("."), inner
            elif key not in ("n", "min", "max", "official", "failures", "seconds", "rounds"):
                yield from leaves(inner, f"{name}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{name}{inner['n']}.")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name.rstrip("."), value


def side(name):
    runs = [dict(leaves(json.loads((home / f"runs/{name}-{n}/summary.json").read_text()))) for n in range(1, rounds + 1)]
    keys = [key for key in runs[0] if all(key in run for run in runs)]
    return {key: [run[key] for run in runs] for key in keys}


def spread(values):
    return f"{statistics.median(values):.5g} ({min(values):.5g}-{max(values):.5g})"


before, after = side("before"), side("after")
table = {}
print(f"\n  {rounds} runs of {commit} and of this tree in turn; median (least-greatest)\n")
print(f"  {'':<44} {'before':<28} {'after':<28} change")
for key in before:
    if key in after:
        old, new = statistics.median(before[key]), statistics.median(after[key])
        change = f"{(new / old - 1) * 100:+.1f} %" if old else "-"
        print(f"  {key:<44} {spread(before[key]):<28} {spread(after[key]):<28} {change}")
        table[key] = {"before": before[key], "after": after[key]}
summary = {"before": commit, "rounds": rounds, "figures": table}
(home / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
print(f"\nsummary: {home / 'summary.json'}")
PYTHON
