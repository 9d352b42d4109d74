#!/usr/bin/env python3
"""bench-bindings.py [SECONDS] [ROUNDS]: cost of an event and a 20 ms PCM frame from library to callback.

A hundred calls in one process, in ten rooms with a talker each, with a new development SFU for each run; C, C++, Go, Swift
and Python in turn, ROUNDS times. Prints a table (median of the rounds, least and greatest) and writes
target/bench/bindings.json. Skips a language whose tools are missing, with a message.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "target/bench"
seconds = sys.argv[1] if len(sys.argv) > 1 else "5"
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
stage = os.environ.get("OFFHOOK_STAGE", str(ROOT / "target/stage"))
os.environ["PKG_CONFIG_PATH"] = f"{stage}/lib/pkgconfig"


def build(what, *command, cwd=ROOT):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        print(f"SKIPPED: {what} cannot be built:\n{done.stderr[-800:]}", file=sys.stderr)
    return done.returncode == 0


def programs():
    OUT.mkdir(parents=True, exist_ok=True)
    link = [f"-I{stage}/include", f"-L{stage}/lib", "-loffhook", f"-Wl,-rpath,{stage}/lib", "-pthread", "-lm"]
    if build("C", "cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "benches/handlers.c", "-o", f"{OUT}/handlers_c", *link):
        yield "C", [f"{OUT}/handlers_c", seconds]
    if build("C++", "c++", "-std=c++17", "-O2", "bindings/cpp/bench/handlers.cpp", "-o", f"{OUT}/handlers_cpp", *link):
        yield "C++", [f"{OUT}/handlers_cpp", seconds]
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not pathlib.Path(go).exists():
        print("SKIPPED: Go is not here", file=sys.stderr)
    elif build("Go", go, "build", "-buildvcs=false", "-tags", "offhook_bench", "-o", f"{OUT}/handlers_go", "./bench", cwd=ROOT / "bindings/go"):
        yield "Go", ["env", f"SECONDS={seconds}", f"{OUT}/handlers_go"]
    yield "Swift", [str(ROOT / "bindings/swift/bench/run.sh"), seconds]
    venvs = sorted((ROOT / "target/python").glob("*/venv/bin/python"))
    if not venvs:
        print("SKIPPED: Python has no environment yet: make test-python", file=sys.stderr)
    for mode in ("threads", "asyncio") if venvs else ():
        bench = str(ROOT / "bindings/python/bench/bench.py")
        yield f"Python, {mode}", [str(venvs[-1]), bench, "--mode", mode, "--seconds", seconds]


def run(language, command):
    done = subprocess.run([ROOT / "scripts/with-sfu.sh", *command], capture_output=True, text=True, timeout=600)
    if done.returncode == 77:
        print(f"SKIPPED: {language}: {done.stdout[-300:]}{done.stderr[-300:]}", file=sys.stderr)
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"bench-bindings: {language} gives no figures ({done.returncode}):\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    return json.loads(lines[-1])


def spread(values):
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


chosen = list(programs())
results = {language: [] for language, _ in chosen}
for number in range(rounds):
    for language, command in chosen:
        print(f"round {number + 1} of {rounds}: {language}", file=sys.stderr, flush=True)
        if figures := run(language, command):
            results[language].append(figures)

print(f"\n{rounds} runs of {seconds} s each in turn, 100 calls; ns, median (least-greatest)\n")
print("| language | frame p50 | frame p99 | event p50 | event p99 | allocations per frame | frames | events | late |")
print("|---|---|---|---|---|---|---|---|---|")
for language, runs in results.items():
    if runs:
        cell = lambda kind, p: spread([r[kind][p] for r in runs])
        total = lambda what: sum(r.get(what) or 0 for r in runs)
        held = [r["allocations_per_frame"] for r in runs if r["allocations_per_frame"] is not None]
        print(f"| {language} | {cell('frame_ns', 'p50')} | {cell('frame_ns', 'p99')} | {cell('event_ns', 'p50')} | "
              f"{cell('event_ns', 'p99')} | {statistics.median(held):.1f} | {total('frames')} | {total('events')} | {total('late')} |")
(OUT / "bindings.json").write_text(json.dumps(results, indent=1))
