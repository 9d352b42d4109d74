#!/usr/bin/env python3
"""check-words.py [FILE...]: texts use the words of WebRTC, curl and SQLite, and none of the phrases that nobody outside knows.

PHRASES must not stand in any tracked file. WORDS must not stand in prose: Markdown outside of code, and comments of the
C examples. LATER lists the files that are not rewritten yet. Without arguments all tracked files are read. Where git is not, as in an
unpacked source archive, the documents are read.
"""

import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What must not stand anywhere, and what to write.
PHRASES = [
    (r"hears? what happens", "callbacks receive events and audio"),
    (r"was lost and is looked for", "Connection lost; reconnecting."),
    (r"somebody is here", "A participant joined."),
    (r"on the air", "published"),
    (r"told everyone who watches", "custom event from a participant or your backend"),
    (r"what became of an oh_call_rpc", "result of oh_call_rpc"),
    (r"cannot be had any more", "permission to subscribe was revoked"),
    (r"have no name and are not told", "anonymous participants: counted, not listed"),
    (r"invented to hide", "synthesised by packet-loss concealment"),
    (r"sound is not told", "audio is not delivered"),
    (r"lost connection is looked for", "reconnect timeout"),
    (r"parted by spaces", "space-separated; tried in order"),
    (r"their number is told", "the number dropped is logged"),
    (r"nothing makes room", "the buffer does not drain until the track is published"),
]
# What must not stand in prose.
WORDS = [
    (r"told", "sent, reported, delivered, acknowledged"),
    (r"found again|lost and found", "reconnected, made again"),
    (r"doors?", "endpoint, server list"),
    (r"wish(es)?", "subscription settings"),
    (r"deaf", "receive disabled"),
    (r"orphan(ed|s)?", "unassigned track"),
    (r"(track|tracks|frame|frames) of mine", "local track"),
    (r"what is wanted", "requested"),
    (r"life of a sender", "stream restart"),
    (r"sounds?", "audio"),
    (r"goodbye", "leave message"),
    (r"hears?|heard|hearing", "receives, listener"),
    (r"falls? silent", "stops, pauses"),
    (r"looked for", "searched, retried"),
    (r"in silence", "without an error"),
    (r"nobody else notices", "no other call is affected"),
    (r"rules of the house", "rules of this repository"),
]
# Files that say it on purpose.
ON_PURPOSE = ["scripts/check-words.py", "tests/docs/test_docs.py"]
# Files that follow later: the header and what it is generated from, the sources in Rust, and the bindings' own sources.
LATER = ["src/core/*", "src/session/*", "src/rtc/*", "src/media/*", "src/signalling/*", "src/dispatch/*", "src/netwatch/*", "src/*.rs", "sfu/*", "tools/src/*", "benches/*", "fuzz/*", "proto/*", "scripts/*",
         "bindings/*/tests/*", "bindings/swift/Tests/*", "bindings/*/bench/*",
         "tests/*", "abi/*", "packaging/*"]
PROSE = ["*.md", "examples/*.c", "examples/*.h"]


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def pattern(entries):
    """Whole words, in any case, also across the end of a line (and the stars of a comment), and not inside of names."""
    gap = r"[\s*/]+"
    return [(re.compile(r"(?<![\w`/.-])(?:" + text.replace(" ", gap) + r")(?![\w`/]|-\w|\.\w)", re.I), instead) for text, instead in entries]


PHRASES, WORDS = pattern(PHRASES), pattern(WORDS)


def prose(path, text):
    """The text with everything that is no prose blanked: fenced blocks and `code` of Markdown, code of C. Lines stay lines."""
    def blank(found):
        return re.sub(r"[^\n]", " ", found[0])
    if path.endswith(".md"):
        text = re.sub(r"^```.*?^```[ ]*$", blank, text, flags=re.M | re.S)
        return re.sub(r"`[^`\n]+`", lambda m: "`" + " " * (len(m[0]) - 2) + "`", text)
    kept = [m.span() for m in re.finditer(r"/\*.*?\*/|//[^\n]*", text, re.S)]
    return "".join(c if c == "\n" or any(a <= n < b for a, b in kept) else " " for n, c in enumerate(text))


def look(path, text):
    """(line, what is wrong) of one file; the second is True when it is a phrase that may follow later."""
    if matches(path, ON_PURPOSE):
        return
    searched = [(text, PHRASES)]
    if matches(path, PROSE):
        searched.append((prose(path, text), WORDS))
    for where, entries in searched:
        for expression, instead in entries:
            for found in expression.finditer(where):
                line = where.count("\n", 0, found.start()) + 1
                yield line, f"{' '.join(found[0].split())!r}: write: {instead}", entries is PHRASES and matches(path, LATER)


def main():
    files = sys.argv[1:]
    if not files:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        files = listed.stdout.split("\n") if not listed.returncode else [
            str(p.relative_to(ROOT)) for pattern in ("*.md", "docs/**/*.md", "examples/*.[ch]") for p in ROOT.glob(pattern)]
    wrong, later = [], 0
    for path in filter(None, files):
        try:
            text = (ROOT / path).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for line, what, follows in look(path, text):
            if follows:
                later += 1
            else:
                wrong.append(f"{path}:{line}: {what}")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(f"check-words: {len(wrong)} places use words that nobody outside knows")
    waiting = f"; {later} in files that follow later" if later else ""
    print(f"ok documents and examples use the words of the field{waiting}")


if __name__ == "__main__":
    main()
