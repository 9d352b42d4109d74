"""test_process.py: tests that need a separate process, or concern the whole process (rows version and log of
tests/scenarios.md; fork; types)."""

import logging
import os
import subprocess
import sys
import threading
import time

import offhook
import pytest
from support import TOKEN, BINDING, blocking_client, client, deadline, unique, until_blocking


def run(code, seconds=30, **environment):
    """Runs a Python program in a separate process."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds, env={**os.environ, **environment}
    )


USE = """
import offhook
try:
    offhook.Client("http://127.0.0.1:1", user_id="ann", token="t")
    print("taken")
except offhook.AbiError as error:
    print(error, error.code == offhook.Result.ABI)
"""


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "OFFHOOK_LIBRARY"])
@deadline(40)
def test_version(variable):
    """Row version: the first use of a library of another ABI is refused with a text that has both numbers."""
    done = run(USE, **{variable: os.environ["OFFHOOK_OTHER_ABI"]})
    assert "4711" in done.stdout and f"made for {offhook.ABI_VERSION}" in done.stdout and "True" in done.stdout, done
    assert "taken" not in done.stdout


@deadline(40)
def test_which_library():
    """Uses the library of the wheel, or the one of OFFHOOK_LIBRARY, or the one loaded in the process."""
    library = os.path.join(os.environ["OFFHOOK_STAGE"], "lib", "liboffhook.so")
    show = "import offhook; offhook.version(); print(repr(offhook.library_path()), offhook.abi_version())"
    inside = os.path.join(os.path.dirname(offhook.__file__), "liboffhook.so.1")
    assert run(show).stdout.strip() == f"{inside!r} 1"
    assert run(show, OFFHOOK_LIBRARY=library).stdout.strip() == f"{library!r} 1"
    assert run(show, LD_PRELOAD=library).stdout.strip() == "'' 1"
    assert "OSError" in run(show, OFFHOOK_LIBRARY="/nonexistent.so").stderr


@deadline(30)
async def test_log():
    """Row log: lines arrive, none has the token; after it is turned off no more arrive."""
    lines = []

    def line(level, text):
        lines.append((level, text))
        if len(lines) == 1:
            raise RuntimeError("from the log handler")

    reported = []
    before = threading.excepthook
    threading.excepthook = lambda args: reported.append(str(args.exc_value))
    try:
        offhook.set_log(line, offhook.LogLevel.TRACE)
        async with client(unique("ann")) as c:
            call = await c.join(unique("room"))
            await call.leave()
        until_blocking(lambda: len(lines) > 5, "lines")
    finally:
        offhook.set_log(None)
        threading.excepthook = before
    assert reported == ["from the log handler"]
    assert all(isinstance(level, offhook.LogLevel) and "\n" not in text for level, text in lines)
    assert not [text for _, text in lines if TOKEN in text]
    count = len(lines)
    async with client(unique("ben")) as c:
        await c.join(unique("room"))
    assert len(lines) == count
    assert offhook.log._handlers == {}  # destroy was called
    with pytest.raises(offhook.ArgumentError):
        offhook.set_log(line, 99)
    assert offhook.log._handlers == {}


@deadline(30)
def test_log_to_a_logger(caplog):
    """Row log: to a logger of the standard library."""
    logger = logging.getLogger("offhook.test")
    with caplog.at_level(logging.DEBUG, logger="offhook.test"):
        offhook.set_log(logger, offhook.LogLevel.DEBUG)
        try:
            with blocking_client(unique("ann")) as c:
                c.join(unique("room")).leave()
            until_blocking(lambda: caplog.records, "records")
        finally:
            offhook.set_log(None)
    assert {r.name for r in caplog.records} == {"offhook.test"} and not [r for r in caplog.records if TOKEN in r.getMessage()]


@deadline(40)
def test_fork():
    """Functions fail in a forked child, which exits as it would without the library; its parent continues."""
    with blocking_client(unique("ann")) as c:
        call = c.join(unique("room"), on_event=lambda call, event: None)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                call.leave_nowait()
            except offhook.ForkedError:
                code = 7
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert call.state == offhook.CallState.JOINED
    done = run(
        "import os, sys, offhook\n"
        "c = offhook.Client('http://127.0.0.1:1', user_id='ann', token='t')\n"
        "pid = os.fork()\n"
        "sys.exit(3 if pid == 0 else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) + 1)\n"
    )
    assert (done.returncode, done.stderr) == (4, "")


@deadline(30)
def test_waits_can_be_interrupted():
    """Ctrl-C ends the wait of a thread promptly."""
    import _thread

    with blocking_client(unique("ann"), token=None) as c:
        call = c.join_nowait(unique("room"))
        timer = threading.Timer(0.1, _thread.interrupt_main)
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            call.wait_state(offhook.CallState.JOINED, 20)
        assert time.monotonic() - began < 5


@deadline(170)
def test_types():
    """mypy --strict: the package, and the examples as users of it."""
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.path.join(sys.prefix, "mypy"), "-p", "offhook"],
        capture_output=True, text=True, timeout=160, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    examples = sorted(str(p) for p in (BINDING / "examples").glob("*.py"))
    assert examples
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.path.join(sys.prefix, "mypy"), *examples],
        capture_output=True, text=True, timeout=160, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
