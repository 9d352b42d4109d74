#!/usr/bin/env python3
"""check-words.py [FILE...]: checks that texts use the words of WebRTC, curl and SQLite, and no private phrases.

PHRASES are forbidden in every tracked file. WORDS are forbidden in prose: Markdown outside of code, and comments of the C
examples. NAMES are forbidden as parts of identifiers, except those that ALLOWED lists. Without arguments all tracked files
are read. Without git, as in an unpacked source archive, the documents are read.
"""

import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Forbidden in every file, with the replacement.
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
# Forbidden in prose.
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
# Forbidden as a word of an identifier (`is_told`, `OldDoor`), with the replacement.
NAMES = {
    "told": "sent, reported, delivered, acknowledged",
    "door": "endpoint", "doors": "endpoints",
    "wish": "settings, request", "wishes": "settings, requests", "wished": "requested",
    "deaf": "receive_disabled",
    "orphan": "unassigned", "orphans": "unassigned", "orphaned": "unassigned",
    "goodbye": "leave_message", "farewell": "leave_message",
    "dialogue": "session", "dialogues": "sessions",
    "ear": "listener", "ears": "listeners",
    "hear": "receive", "hears": "receives", "heard": "received",
    "sound": "audio", "sounds": "audio",
    "mine": "local",
}
# Identifiers that contain such a word and stay.
ALLOWED = {}
# Files that contain the words on purpose: this one, its test, and the kept headers of releases.
ON_PURPOSE = ["scripts/check-words.py", "tests/docs/test_docs.py", "tests/abi/headers/*"]
SOURCES = ["*.rs", "*.c", "*.h", "*.hpp", "*.cpp", "*.go", "*.swift", "*.py"]
PROSE = ["*.md", "examples/*.c", "examples/*.h"]


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def pattern(entries):
    """Matches whole words in any case, also across line ends (and the stars of a comment), but not inside names."""
    gap = r"[\s*/]+"
    return [(re.compile(r"(?<![\w`/.-])(?:" + text.replace(" ", gap) + r")(?![\w`/]|-\w|\.\w)", re.I), instead) for text, instead in entries]


PHRASES, WORDS = pattern(PHRASES), pattern(WORDS)


def prose(path, text):
    """The text with everything except prose blanked: fenced blocks and `code` of Markdown, code of C. Line numbers stay."""
    def blank(found):
        return re.sub(r"[^\n]", " ", found[0])
    if path.endswith(".md"):
        text = re.sub(r"^```.*?^```[ ]*$", blank, text, flags=re.M | re.S)
        return re.sub(r"`[^`\n]+`", lambda m: "`" + " " * (len(m[0]) - 2) + "`", text)
    kept = [m.span() for m in re.finditer(r"/\*.*?\*/|//[^\n]*", text, re.S)]
    return "".join(c if c == "\n" or any(a <= n < b for a, b in kept) else " " for n, c in enumerate(text))


TEXTS = r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)\''
COMMENTS = {True: r'"""[\s\S]*?"""|#[^\n]*', False: r"/\*[\s\S]*?\*/|//[^\n]*"}
NO_CODE = {is_python: re.compile(f"{comments}|{TEXTS}") for is_python, comments in COMMENTS.items()}


def identifiers(path, text):
    """(line, identifier) of a source file: the first place of each, outside of comments and texts."""
    code = NO_CODE[path.endswith(".py")].sub(lambda m: "\n" * m[0].count("\n") or " ", text)
    seen = set()
    for number, line in enumerate(code.split("\n"), 1):
        for identifier in re.findall(r"[A-Za-z_]\w*", line):
            if identifier not in seen:
                seen.add(identifier)
                yield number, identifier


def words_of(identifier):
    """The words of an identifier in snake case, camel case or capitals, in lower case."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


def look(path, text):
    """(line, what is wrong) of one file."""
    if matches(path, ON_PURPOSE):
        return
    searched = [(text, PHRASES)]
    if matches(path, PROSE):
        searched.append((prose(path, text), WORDS))
    for where, entries in searched:
        for expression, instead in entries:
            for found in expression.finditer(where):
                line = where.count("\n", 0, found.start()) + 1
                yield line, f"{' '.join(found[0].split())!r}: write: {instead}"
    if matches(path, SOURCES):
        for line, identifier in identifiers(path, text):
            for word in words_of(identifier) if identifier not in ALLOWED else []:
                if word in NAMES:
                    yield line, f"'{identifier}': write: {NAMES[word]}"


def main():
    files = sys.argv[1:]
    if not files:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        files = listed.stdout.split("\n") if not listed.returncode else [
            str(p.relative_to(ROOT)) for pattern in ("*.md", "docs/**/*.md", "examples/*.[ch]") for p in ROOT.glob(pattern)]
    wrong = []
    for path in filter(None, files):
        try:
            text = (ROOT / path).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        wrong += [f"{path}:{line}: {what}" for line, what in look(path, text)]
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(f"check-words: {len(wrong)} places use words that are not the field's")
    print("ok documents, comments and identifiers use the words of the field")


if __name__ == "__main__":
    main()
