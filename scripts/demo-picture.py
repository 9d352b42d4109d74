#!/usr/bin/env python3
"""demo-picture.py [RECORDING]: makes a picture of `make demo` for the documentation, docs/site/demo.svg, from its output.

Runs the demo in a pseudo terminal (after `make examples`) and saves its output in target/demo/terminal.txt, or uses such a
recording. The picture shows the screen while the late offers are dropped, and below it the end of the run, unchanged.
"""

import html
import os
import pathlib
import pty
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = ["target/built/offhook-demo", "--sfu", "target/built/offhook-sfu", "--call", "target/demo/bin/call", "--bot", "target/demo/bin/bot",
           "--speech", "examples/speech", "--out", "target/demo"]
CHAR, LINE, MARGIN = 7.23, 17, 14  # px of a character, a line, and the margin
COLOURS = {"32": "#7ee787", "33": "#f2cc60", "36": "#79c0ff"}


def record():
    """The demo's terminal output."""
    os.chdir(ROOT)
    said = bytearray()

    def read(descriptor):
        data = os.read(descriptor, 65536)
        said.extend(data)
        return data

    os.environ["TERM"] = "xterm-256color"
    status = pty.spawn(COMMAND, read, lambda _: b"")
    if status:
        sys.exit(f"demo-picture: the demo ended with {os.waitstatus_to_exitcode(status)}; no picture of that")
    (ROOT / "target/demo/terminal.txt").write_bytes(said)
    return said.decode()


def screens(text):
    """The screens that replaced each other, and the text printed after the last one."""
    parts = re.split(r"\x1b\[\d+A\x1b\[J", text.replace("\r\n", "\n"))
    return parts[:-1], parts[-1]


def spans(line):
    """Pieces of a line with their style: (text, attributes of a tspan)."""
    style = ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if found := re.fullmatch(r"\x1b\[([0-9;]*)m", part):
            code = found[1]
            style = f' fill="{COLOURS[code]}"' if code in COLOURS else ' fill="#8b949e"' if code == "2" else ""
        elif part:
            yield part, style


def svg(lines):
    columns = max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines)
    width, height = round(columns * CHAR + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN + 6
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
           "<title>make demo</title>", f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
           f'<g font-family="ui-monospace, Menlo, \'DejaVu Sans Mono\', monospace" font-size="12" fill="#e6edf3" xml:space="preserve">']
    for n, line in enumerate(lines):
        y, column, pieces = MARGIN + 12 + n * LINE, 0, []
        for text, style in spans(line):
            if text.strip():
                # Each piece has its position and length, so that the columns align in any font.
                pieces.append(f'<tspan x="{MARGIN + column * CHAR:.1f}" textLength="{len(text) * CHAR:.1f}"{style}>{html.escape(text, quote=False)}</tspan>')
            column += len(text)
        if pieces:
            out.append(f'<text xml:space="preserve" y="{y}">{"".join(pieces)}</text>')
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"


def main():
    text = pathlib.Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else record()
    drawn, last = screens(text)
    counts = [(int(found[1]), n) for n, s in enumerate(drawn) if (found := re.search(r"\] (\d+) of \d+ late offers", s))]
    if not counts:
        sys.exit("demo-picture: no screen shows late offers")
    middle = min(counts, key=lambda c: abs(c[0] - 600))[1]
    end = last[last.index(" join ms") :] if " join ms" in last else last
    lines = ["$ make demo", "", *drawn[middle].rstrip("\n").split("\n"), "", "  …", "", *(" " * 0 + l for l in end.rstrip("\n").split("\n"))]
    # The first line of the table lost its leading spaces; restore them.
    table = next(n for n, l in enumerate(lines) if "join ms" in l)
    lines[table] = " " * 8 + lines[table]
    (ROOT / "docs/site/demo.svg").write_text(svg(lines))
    print(f"ok docs/site/demo.svg: {len(lines)} lines")


if __name__ == "__main__":
    main()
