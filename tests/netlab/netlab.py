#!/usr/bin/env python3
"""The network laboratory: calls in networks of Linux network namespaces, each with an expected outcome.

    netlab.py [--list] [--only NAME]... [--short] [--rounds N] [--jobs N] [--protocol stream|livekit] [--official]
              [--chromium] [--write docs/networks.md]

Needs root, `ip` and `nft`; without them it prints a line that begins with SKIPPED, and exits with 77. The exit code is 1
if a cell misses its expectation, 2 if the laboratory itself fails. Everything is in target/netlab: results.json, and a
folder per cell with the logs. See docs/testing.md.
"""

import argparse
import concurrent.futures
import fcntl
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time
import traceback

import browser
import network
from cells import CELLS, OTHERS, Connected
from lab import Lab, Over

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MARKS = "<!-- netlab: the table -->", "<!-- netlab: end -->"
PATIENCE = 4
BEHIND = 50  # ms by which another client may be faster
STRICT = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -pthread".split()


class Tools:
    """The programs that the cells use."""

    def __init__(self, a, out):
        self.sfu, self.livekit, self.out = a.sfu, a.livekit, out
        self.turnserver = shutil.which("turnserver")
        self.nonetlink = out / "nonetlink"
        self.authority = out / "ca.pem"
        self.certificate = out / "lab.pem", out / "lab.key"
        self.build(a.library)
        self.certify()

    def build(self, library):
        compiler = os.environ.get("CC", "cc")
        link = [f"-L{library}", "-loffhook", "-lm", f"-Wl,-rpath,{library}"]
        for words in (
            [HERE / "probe.c", "-I", ROOT / "include", "-o", self.out / "probe", *link],
            [HERE / "nonetlink.c", "-o", self.nonetlink],
        ):
            subprocess.run([compiler, *STRICT, *words], check=True)

    def certify(self):
        """A certificate authority of this run, and a certificate for the names of the laboratory."""
        names = "subjectAltName=DNS:sfu.lab.test,DNS:turn.lab.test,IP:203.0.113.10,IP:203.0.113.11"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        root = [self.out / "ca.key", self.authority]
        for words in (
            ["req", "-x509", *key, "-keyout", root[0], "-out", root[1], "-subj", "/CN=netlab CA"],
            ["req", "-x509", *key, "-keyout", self.certificate[1], "-out", self.certificate[0], "-subj", "/CN=sfu.lab.test",
             "-CA", root[1], "-CAkey", root[0], "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"],
        ):  # fmt: skip
            subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def probe(self, kind):
        if kind == "official":
            return [ROOT / "target/livekit/venv/bin/python", HERE / "official.py"]
        if kind == "chromium":
            return [sys.executable, HERE / "browser.py"]
        return [self.out / "probe"]


def in_time(expected, of, patience=1):
    gap = of["gap_ms"] or of["quiet_ms"]
    return of["connect_ms"] <= expected.ms * patience and gap <= expected.gap * patience


def judge(expected, seen, patience):
    """Whether a result is as expected, and what was seen in words. `patience` stretches the times."""
    if seen.get("failed"):
        return False, f"the laboratory failed: {seen['failed']}"
    reconnects = sum(seen["reconnects"].values())
    if isinstance(expected, Connected):
        if seen["connect_ms"] is None:
            return False, f"not connected: {seen['ended'] or 'no audio, no end'}"
        if seen["ended"]:
            return False, f"connected, then: {seen['ended']}"
        words = "connected" + "".join(f", {n} × {kind}" for kind, n in seen["reconnects"].items() if n)
        words += "".join(f", {n} {what}" for what, n in seen["counted"].items())
        if seen["wrong"]:
            return False, f"connected, but: {', '.join(seen['wrong'])}"
        fits = in_time(expected, seen, patience)
        return fits and (expected.reconnects is None or reconnects <= expected.reconnects), words
    if seen["connect_ms"] is not None:
        return expected.may_connect, "connected"
    for one in seen["texts"]:
        if re.search(expected.words, one["text"], re.I):
            return one["at"] <= expected.ms * patience, f"after {one['at']} ms: {one['text']}"
    return False, f"not named: {seen['ended'] or 'no end'}"


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


class Work:
    """One cell on one protocol with one client, in one or more rounds."""

    def __init__(self, cell, protocol, client):
        self.cell, self.protocol, self.client = cell, protocol, client
        self.rounds = []

    def round(self, run, tools, out, calm, patience):
        number = len(self.rounds)
        name = f"{self.cell.name}-{self.protocol}-{self.client}"
        lab = Lab(f"{run.prefix}{name}-{number}-", tools, out / f"{name}-{number}", self.protocol, self.client, calm, 3 + 2 * number)
        expected = self.cell.expected
        lab.cause = getattr(expected, "words", None)
        lab.limit = max(15.0, expected.ms * patience / 1e3 + 10)
        seen = {}
        try:
            try:
                self.cell.run(lab)
            except Over:
                pass
            seen = lab.result()
        except network.Failed as e:
            seen = {"failed": str(e)}
        except Exception as e:  # one cell must not end the others
            seen = {"failed": f"{type(e).__name__}: {e}", "trace": traceback.format_exc()}
        finally:
            lab.end()
            network.remove(lab.prefix)
        seen["ok"], seen["seen"] = judge(expected, seen, patience)
        self.rounds.append(seen)

    def summary(self):
        expected, bad = self.cell.expected, [r for r in self.rounds if not r["ok"]]
        of = {k: median([r.get(k) for r in self.rounds]) for k in ("joined_ms", "media_ms", "connect_ms", "gap_ms", "quiet_ms")}
        # A round that is only slow counts by the median of all rounds.
        slow = [r for r in bad if isinstance(expected, Connected) and r["connect_ms"] is not None and not r["ended"] and not r["wrong"]]
        ok = not bad or (len(slow) == len(bad) and expected.reconnects is None and in_time(expected, of))
        return {
            "cell": self.cell.name, "what": self.cell.what, "protocol": self.protocol, "client": self.client,
            "expected": str(expected), "seen": (bad or self.rounds)[-1]["seen"], "ok": ok, **of, "rounds": self.rounds,
        }  # fmt: skip


def whole(value):
    return "" if value is None else f"{value:.0f}"


def row(s):
    verdict = "ok" if s["ok"] else "MISSED" if s["client"] == "offhook" else "-"
    gap = s["gap_ms"] if s["client"] == "offhook" else s["quiet_ms"]
    name = s["protocol"] if s["client"] == "offhook" else s["client"]
    return f"{s['cell']:<25} {name:<9} {s['expected']:<36} {whole(s['connect_ms']):>7} {whole(gap):>7}  {verdict:<6}  {' '.join(s['seen'].split())[:200]}"


def behind(results):
    """The cells on LiveKit in which another client connects, and this one does not or is more than BEHIND ms slower; and
    those in which its longest time without a tone is that much longer."""
    lines = []
    for own in (r for r in results if (r["protocol"], r["client"]) == ("livekit", "offhook")):
        others = [r for r in results if r["cell"] == own["cell"] and r["client"] in OTHERS and r["connect_ms"] is not None]
        for key, what in (("connect_ms", "connect"), ("quiet_ms", "quiet")):
            if not others or (key == "quiet_ms" and own["connect_ms"] is None):
                continue
            best = min(others, key=lambda r: r[key])
            if own[key] is None or own[key] - best[key] > BEHIND:
                lines.append(f"behind: {own['cell']}: {what} {whole(own[key]) or 'never'}, {best['client']} {whole(best[key])} ms")
    return lines


COLUMNS = {
    "Stream": ("stream", "offhook"),
    "LiveKit": ("livekit", "offhook"),
    "official client": ("livekit", "official"),
    "Chromium": ("livekit", "chromium"),
}


def table(results):
    """The table of docs/networks.md."""
    lines = [
        f"| network | expected | {' | '.join(f'{title}: connect, gap (ms)' for title in COLUMNS)} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]

    def field(name, protocol, client):
        s = next((r for r in results if (r["cell"], r["protocol"], r["client"]) == (name, protocol, client)), None)
        if not s:
            return ""
        if s["connect_ms"] is None:
            return ("cause named" if s["ok"] else "not connected") if client == "offhook" else "not connected"
        gap = s["gap_ms"] if client == "offhook" else s["quiet_ms"]
        text = f"{whole(s['connect_ms'])}, {whole(gap)}"
        return text if s["ok"] or client != "offhook" else f"{text}: missed"

    for cell in CELLS:
        if any(r["cell"] == cell.name for r in results):
            fields = [field(cell.name, *of) for of in COLUMNS.values()]
            lines.append(f"| {cell.what} | {cell.expected} | {' | '.join(fields)} |")
    return "\n".join(lines)


def write(path, results, measured):
    text = path.read_text()
    begin, end = (text.find(mark) for mark in MARKS)
    if begin < 0 or end < begin:
        text = f"{text.rstrip()}\n\n## Measured\n\n{MARKS[0]}\n{MARKS[1]}\n"
        begin, end = (text.find(mark) for mark in MARKS)
    path.write_text(f"{text[: begin + len(MARKS[0])]}\n\n{measured}\n\n{table(results)}\n\n{text[end:]}")


def parse():
    built = ROOT / "target"
    parser = argparse.ArgumentParser(description="the network laboratory")
    parser.add_argument("--list", action="store_true", help="the cells")
    parser.add_argument("--only", action="append", metavar="NAME", help="this cell; may be repeated")
    parser.add_argument("--short", action="store_true", help="the cells of the short form")
    parser.add_argument("--rounds", type=int, default=1, help="repetitions; the table has medians")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2), help="cells at a time")
    parser.add_argument("--protocol", choices=("stream", "livekit"))
    parser.add_argument("--official", action="store_true", help="also LiveKit's official client, for comparison")
    parser.add_argument("--chromium", action="store_true", help="also LiveKit's client for browsers in Chromium, for comparison")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE", help="replaces the table in a document, or appends it")
    parser.add_argument("--out", type=pathlib.Path, default=built / "netlab")
    parser.add_argument("--sfu", type=pathlib.Path, default=built / "built/offhook-sfu")
    parser.add_argument("--library", type=pathlib.Path, default=built / "lib", help="the folder of liboffhook.so")
    parser.add_argument("--livekit", type=pathlib.Path, default=built / "tools/livekit-server")
    return parser.parse_args()


def chosen(a):
    names = {cell.name for cell in CELLS}
    for name in a.only or []:
        if name not in names:
            raise SystemExit(f"netlab: no cell {name}; --list has them")
    return [c for c in CELLS if (not a.only or c.name in a.only) and (not a.short or c.short)]


def lacks(programs):
    """What is missing of the programs that a cell needs; None if nothing is."""
    for program in (programs or "").split():
        if not shutil.which(program):
            return f"{program} is not installed"
        if program == "tayga" and not pathlib.Path("/dev/net/tun").exists():
            return "this kernel has no /dev/net/tun"
    return None


def folder(out):
    """The folder for the results, empty but for the programs; another one while a run uses it. And its lock."""
    out.mkdir(parents=True, exist_ok=True)
    lock = open(out / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"netlab: another run uses {out}; the results of this one are in {out}-{os.getpid()}")
        return folder(out.with_name(f"{out.name}-{os.getpid()}"))
    for old in out.glob("*-*-*-[0-9]"):
        shutil.rmtree(old)
    return out, lock


def conditions(a):
    """One line about how the table was measured."""
    of = {}
    stamp = a.livekit.with_name(a.livekit.name + ".version")
    of["LiveKit server"] = stamp.read_text().strip() if stamp.exists() else ""
    wheel = next((ROOT / "target/livekit/venv").glob("lib/*/site-packages/livekit-*.dist-info"), None)
    of["official client"] = wheel.name.split("-")[1].removesuffix(".dist") if wheel and a.official else ""
    if a.chromium:
        of["Chromium"] = browser.version()
        of["livekit-client"] = (ROOT / "target/livekit/livekit-client.version").read_text().strip()
    versions = "".join(f", {what} {version}" for what, version in of.items() if version)
    rounds = f"Medians of {a.rounds} rounds" if a.rounds > 1 else "One round"
    return f"{rounds}; {os.cpu_count()} cores, Linux {os.uname().release.split('-')[0]}{versions}."


def main():
    a = parse()
    if a.list:
        for cell in CELLS:
            print(f"{cell.name:<25} {'short' if cell.short else '':<6} {cell.expected!s:<36} {cell.what}")
        return 0
    why = network.missing()
    if why:
        print(f"SKIPPED: netlab: {why}")
        return 77
    a.out, lock = folder(a.out.resolve())
    protocols = [p for p in ("stream", "livekit") if a.protocol in (None, p)]
    if "livekit" in protocols and not a.livekit.exists():
        print(f"SKIPPED: netlab: cells on LiveKit: there is no server {a.livekit} (make livekit)")
        protocols.remove("livekit")
    tools = Tools(a, a.out)
    if a.official and not (ROOT / "target/livekit/venv/bin/python").exists():
        print("SKIPPED: netlab: the official client is not installed (tests/livekit/official/env.sh)")
        a.official = False
    without = "" if browser.program() else "there is no Chromium (Debian: chromium)"
    without = without or ("" if browser.CLIENT.exists() else "its client is not installed (tests/netlab/livekit-client.sh)")
    if a.chromium and without:
        print(f"SKIPPED: netlab: cells with Chromium: {without}")
        a.chromium = False
    others = [name for name in OTHERS if getattr(a, name)] if "livekit" in protocols else []
    works = []
    for cell in chosen(a):
        lacking = lacks(cell.expected.needs)
        if lacking:
            print(f"SKIPPED: netlab: {cell.name}: {lacking}")
            continue
        works += [Work(cell, p, "offhook") for p in protocols if p in cell.protocols]
        if "livekit" in cell.protocols:
            works += [Work(cell, "livekit", name) for name in others if name in cell.others]
    print(f"{'cell':<25} {'protocol':<9} {'expected':<36} {'connect':>7} {'gap':>7}  {'':<6}  seen (ms)", flush=True)
    run = network.Run()
    began = time.monotonic()
    done = []

    def all_rounds(work):
        for _ in range(a.rounds):
            # The short form runs on busy machines, too: it shows that calls connect, not how fast.
            work.round(run, tools, a.out, 2 if a.short else 4, PATIENCE if a.short else 1)
        done.append(work)
        print(row(work.summary()), flush=True)

    try:
        with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
            waiting = [pool.submit(all_rounds, work) for work in works]
            try:
                for one in waiting:
                    one.result()
            except BaseException:
                for one in waiting:
                    one.cancel()
                network.remove(run.prefix)  # the cells at work end with their processes
                raise
    finally:
        run.end()
        lock.close()
    results = [work.summary() for work in works]
    (a.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    if a.write:
        write(a.write, results, conditions(a))
    for line in behind(results):
        print(line)
    counted = [r for r in results if r["client"] == "offhook"]
    missed = [r for r in counted if not r["ok"]]
    failed = any("failed" in one for r in counted for one in r["rounds"])
    print(f"{len(counted) - len(missed)} of {len(counted)} as expected, {time.monotonic() - began:.0f} s; {a.out}/results.json")
    return 2 if failed else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
