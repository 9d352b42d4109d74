#!/usr/bin/env python3
"""check-guides.py [GUIDE...]: compiles and runs the code in docs/guides with a development SFU.

Run it under scripts/with-sfu.sh. The info string of a fenced block selects what is done with it:

    ```c run=NAME             a whole program: compiled without a warning, run with the SFU's URL as its argument; must exit with 0
    ```c compile=NAME         compiled and linked only, for programs that need a server that is not available here
    ```c part=NAME            a part of the program NAME of the same guide, or of the file NAME; must be in it literally
    ```python run=NAME        run with the URL as its argument
    ```sh run=NAME            run by bash in the folder of the guide's programs
    ```text output=NAME       lines that NAME must print, in this order
    ```c text                 shown only (also text alone, console, and other words that are no language)

After run=NAME: beside=call runs examples/call.c as a talker in the call GUIDE meanwhile (examples/speech/alice.wav, as alice),
seconds=N is the deadline (30), server=livekit runs a sh block with a LiveKit server (scripts/with-livekit.sh; skipped
without one). `http://127.0.0.1:8080` in a block is replaced by the SFU's URL, `ws://127.0.0.1:7880` by the LiveKit server's. A
block of a language without any of these words is an error, in the guides and in the files they include.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
URL = "http://127.0.0.1:8080"
LIVEKIT_URL = "ws://127.0.0.1:7880"
LANGUAGES = {"c", "cpp", "c++", "go", "python", "swift", "sh", "bash", "rust", "java", "js"}
FENCE = re.compile(r"^```(\S+)?[ ]*(.*?)\n(.*?)^```[ ]*$", re.M | re.S)


class Wrong(Exception):
    """The error in a block, as text."""


class Skipped(Exception):
    """The missing requirement, as text."""


class Block:
    def __init__(self, guide, text, found):
        self.language, info, self.code = found[1] or "", found[2].split(), found[3]
        self.line = text.count("\n", 0, found.start()) + 1
        self.where = f"{guide.relative_to(ROOT)}:{self.line}"
        self.plain = "text" in info
        self.options = dict(word.partition("=")[::2] for word in info if "=" in word)

    @property
    def name(self):
        return next((self.options[k] for k in ("run", "compile", "part", "output") if k in self.options), "")


def pkg_config(*options):
    return subprocess.check_output(["pkg-config", *options, "offhook"], text=True).split()


def same_lines(piece, whole):
    """Whether the lines of `piece` are in `whole`, one after the other, ignoring indentation."""
    def lines(text):
        return [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    piece, whole = lines(piece), lines(whole)
    return any(whole[n : n + len(piece)] == piece for n in range(len(whole)))


class Guide:
    def __init__(self, file, work):
        self.file, self.work = file, work
        text = file.read_text()
        self.blocks = [Block(file, text, found) for found in FENCE.finditer(text)]
        self.programs = {b.name: b for b in self.blocks if "run" in b.options or "compile" in b.options}
        self.said, self.skipped, self.ran = {}, set(), 0

    def compile(self, name, code):
        source, program = self.work / f"{name}.c", self.work / name
        source.write_text(code)
        command = [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", "-g", str(source),
                   "-o", str(program), *pkg_config("--cflags", "--libs"), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Wrong(f"does not compile:\n{textwrap.indent(done.stderr, '    ')}")
        return program

    def talker(self):
        """Starts examples/call.c as a talker; returns the process."""
        program = ROOT / "target/check-guides/call"
        program.parent.mkdir(parents=True, exist_ok=True)
        if not program.exists() or program.stat().st_mtime < (ROOT / "examples/call.c").stat().st_mtime:
            subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-pthread", ROOT / "examples/call.c", "-o", program,
                            *pkg_config("--cflags", "--libs")], check=True)
        # Until it is killed it joins, talks for five seconds, leaves and pauses: a talker with turns.
        script = 'while :; do "$0" --url "$1" --user alice --call "$2" --play "$3" --seconds 5 >/dev/null 2>&1; sleep 1.5; done'
        return subprocess.Popen(["bash", "-c", script, program, os.environ["OFFHOOK_SFU_URL"], self.file.stem,
                                 ROOT / "examples/speech/alice.wav"], start_new_session=True)

    def run(self, block):
        code = block.code.replace(URL, os.environ["OFFHOOK_SFU_URL"])
        if block.language == "c":
            command = [self.compile(block.name, code), os.environ["OFFHOOK_SFU_URL"]]
        elif block.language == "python":
            path = self.work / f"{block.name}.py"
            path.write_text(code)
            command = [sys.executable, path, os.environ["OFFHOOK_SFU_URL"]]
        elif block.language in ("sh", "bash"):
            command = ["bash", "-euo", "pipefail", "-c", code]
            if block.options.get("server") == "livekit":
                command = [ROOT / "scripts/with-livekit.sh", *command[:-1], code.replace(LIVEKIT_URL, '"$OFFHOOK_LIVEKIT_URL"')]
        else:
            raise Wrong(f"cannot run {block.language}")
        if "compile" in block.options:
            return "compiled"
        beside = self.talker() if block.options.get("beside") == "call" else None
        seconds = int(block.options.get("seconds", 30))
        # The block's processes share its session and are killed with it.
        process = subprocess.Popen(command, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", start_new_session=True)
        try:
            self.said[block.name] = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            raise Wrong(f"no end within {seconds} s; its output:\n{process.communicate()[0][-2000:]}") from None
        finally:
            if beside:
                os.killpg(beside.pid, 9)
                beside.wait()
        if process.returncode == 77 and "server" in block.options:
            self.skipped.add(block.name)
            raise Skipped(self.said.pop(block.name).strip())
        if process.returncode:
            raise Wrong(f"ended with {process.returncode}:\n{textwrap.indent(self.said[block.name][-3000:], '    ')}")
        self.ran += 1
        return "run"

    def output(self, block):
        if block.name in self.skipped:
            raise Skipped(f"{block.name} was not run")
        if block.name not in self.said:
            raise Wrong(f"nothing named {block.name} was run before it")
        rest = self.said[block.name].split("\n")
        for line in block.code.strip("\n").split("\n"):
            if line.strip() in ("", "…", "..."):
                continue
            # … matches anything: numbers that differ between runs.
            pattern = re.compile(".*".join(re.escape(part.strip()) for part in line.strip().split("…")))
            at = next((n for n, said in enumerate(rest) if pattern.fullmatch(said.strip())), None)
            if at is None:
                raise Wrong(f"{block.name} does not print {line.strip()!r}; it printed:\n{textwrap.indent(self.said[block.name], '    ')}")
            rest = rest[at + 1 :]
        return "printed"

    def part(self, block):
        if block.name in self.programs:
            whole = self.programs[block.name].code
        elif (ROOT / block.name).is_file():
            whole = (ROOT / block.name).read_text()
        else:
            raise Wrong(f"there is no program and no file {block.name}")
        if not same_lines(block.code, whole):
            raise Wrong(f"is not in {block.name}")
        return "found"

    def check(self):
        wrong = 0
        for block in self.blocks:
            if block.plain or (block.language not in LANGUAGES and not block.options):
                continue
            try:
                if "part" in block.options:
                    did = self.part(block)
                elif "output" in block.options:
                    did = self.output(block)
                elif "run" in block.options or "compile" in block.options:
                    did = self.run(block)
                else:
                    raise Wrong(f"a block of {block.language} without an instruction (run=, compile=, part=, or text)")
                print(f"ok {block.where}: {block.name} {did}", flush=True)
            except Skipped as why:
                print(f"skipped {block.where}: {why}", flush=True)
            except Wrong as why:
                wrong += 1
                print(f"FAILED {block.where}: {why}", flush=True)
        return wrong


def included():
    """Sections of other files that the guides include. Their own tests run the blocks; here they must only exist."""
    for guide in sorted((ROOT / "docs/guides").glob("*.md")):
        for where in re.findall(r"<!-- include (\S+) -->", guide.read_text()):
            yield guide.stem, where


def main():
    if "OFFHOOK_SFU_URL" not in os.environ:
        sys.exit("check-guides: run it beside an SFU: scripts/with-sfu.sh scripts/check-guides.py")
    wanted = sys.argv[1:]
    guides = [g for g in sorted((ROOT / "docs/guides").glob("*.md")) if not wanted or g.stem in wanted]
    if not guides:
        sys.exit("check-guides: no such guide")
    wrong = ran = 0
    for file in guides:
        with tempfile.TemporaryDirectory() as work:
            guide = Guide(file, pathlib.Path(work))
            wrong += guide.check()
            ran += guide.ran
    waiting = [f"{w} (in {g})" for g, w in included() if not (ROOT / w.partition('#')[0]).exists()]
    if waiting:
        print("missing and skipped: " + ", ".join(waiting))
    if not wanted and not ran:
        sys.exit("check-guides: nothing was run")
    print(f"{ran} passed, {wrong} failed")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
