"""test_exits.py: interpreters that end while calls run and audio arrives, many times, in every possible way.

OFFHOOK_EXITS sets the number (100). Each must end with its own exit code within 20 s, without unexpected output.
"""

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import deadline, live, until_blocking

EXITS = int(os.environ.get("OFFHOOK_EXITS", "100"))

# How a process ends, and the last line that it may print to standard error.
WAYS = {
    "normal": (0, ""),
    "handlers": (0, ""),
    "daemons": (0, ""),
    "sysexit": (7, ""),
    "raise": (1, "RuntimeError: as expected"),
    "task": (0, ""),
    "sigterm": (-15, ""),
    "sigint": (-2, "KeyboardInterrupt"),
    "in_handler": (7, ""),
    "log": (0, ""),
    "joining": (0, ""),
    "os_exit": (9, ""),
}


@deadline(60 + 3 * EXITS)
def test_exits():
    """Interpreter exit with live calls is clean."""
    program = str(Path(__file__).with_name("exits.py"))
    ways = list(WAYS)

    def once(number):
        way = ways[number % len(ways)]
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", program, way], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, err = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += "\nit did not end"
        code, words = WAYS[way]
        lines = err.strip().splitlines()
        if out != "ready\n" or process.returncode != code or (lines[-1] if lines else "") != words:
            wrong.append((number, way, process.returncode, out, err[-3000:]))
        done[way] += 1
        return way, process.pid

    wrong, done = [], Counter()
    with ThreadPoolExecutor(2) as two:
        ended = list(two.map(once, range(EXITS)))
    print(f"{EXITS} interpreters ended, {len(wrong)} of them wrongly: {dict(done)}")
    assert wrong == []
    for way, pid in ended[-len(ways) :]:
        if way not in ("sigterm", "os_exit"):  # these could not send a leave message
            until_blocking(lambda: not live(f"exit-{pid}-a"), f"the SFU has seen {way} leave", 5)
