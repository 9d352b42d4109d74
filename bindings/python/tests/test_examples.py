"""test_examples.py: the examples work, the README shows the tested file, and the benchmark runs."""

import asyncio
import json
import os
import re
import signal
import sys

import pytest
from support import BINDING, TOKEN, URL, Record, Talker, client, deadline, sessions, unique, until

EXAMPLES = BINDING / "examples"


async def start(*command):
    return await asyncio.create_subprocess_exec(
        sys.executable, *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@deadline(5)
def test_readme():
    """The first call in the README is the file that the next test runs."""
    blocks = re.findall(r"```python\n(.*?)```", (BINDING / "README.md").read_text(), re.S)
    assert (EXAMPLES / "first_call.py").read_text() in blocks


@deadline(120)
async def test_first_call(tmp_path):
    """Two of them receive each other's audio, also at a LiveKit server if there is one; one alone fails."""
    process = await asyncio.create_subprocess_exec(
        BINDING.parent / "two-calls.sh", tmp_path, sys.executable, EXAMPLES / "first_call.py",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    print(out.decode())  # shown with -rA, including what was skipped


@deadline(30)
async def test_call():
    """call.py sends and receives; leaves after --seconds, on Ctrl-C and on Enter, with a leave message."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    record = Record()
    async with client(ann) as c:
        Talker(await c.join(room, on_event=record.event, on_audio=record.audio), 440)
        process = await start(
            EXAMPLES / "call.py", "--url", URL, "--user", ben, "--call", room, "--token", TOKEN, "--tone", 1000,
            "--seconds", 3,
        )  # fmt: skip
        await record.wait_tone(ben, 1000)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert f"received {ann}" in out.decode() and "Joined(" in out.decode() and "left:" in out.decode()
        assert TOKEN not in out.decode() + err.decode()

        for end in (lambda p: p.send_signal(signal.SIGINT), lambda p: p.stdin.write(b"\n")):
            user = unique("cid")
            process = await start(EXAMPLES / "call.py", "--url", URL, "--user", user, "--call", room, "--tone", 0)
            while b"Joined(" not in await asyncio.wait_for(process.stdout.readline(), 5):
                pass
            end(process)
            out, err = await process.communicate()
            assert (process.returncode, err) == (0 if b"left:" in out else 130, b"")
            await until(lambda: sessions(user)[0]["leave_received"], "its leave was received")
        assert b"left:" in out  # Enter

    refused = await start(EXAMPLES / "call.py", "--url", "nonsense", "--user", ben, "--call", room, "--seconds", 1)
    assert await refused.wait() == 1


@pytest.mark.parametrize(("how", "hz"), [("echo", 440), ("tone", 660)])
@deadline(30)
async def test_agent(how, hz):
    """The agent answers after a participant has stopped speaking."""
    room, ann, agent = unique("room"), unique("ann"), unique("agent")
    record = Record()
    process = await start(EXAMPLES / "agent.py", "--url", URL, "--user", agent, "--call", room, "--answer", how)
    assert await process.stdout.readline() == b"joined\n"
    async with client(ann) as c:
        call = await c.join(room, on_event=record.event, on_audio=record.audio)
        talker = Talker(call, 440)
        await until(lambda: call.stats().packets_sent > 40, "audio was sent")
        assert not record.receives(agent, hz)
        await talker.stop()
        await record.wait_tone(agent, hz)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130 and b"received" in out, err.decode()
    await until(lambda: sessions(agent)[0]["leave_received"], "its leave was received")


@pytest.mark.parametrize("mode", ["asyncio", "threads"])
@deadline(60)
async def test_benchmark(mode):
    """The benchmark prints one line of JSON with plausible content. Its numbers are not checked here."""
    process = await start(BINDING / "bench" / "bench.py", "--mode", mode, "--seconds", "0.5")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    (line,) = out.decode().splitlines()
    found = json.loads(line)
    assert found["language"] == "python" and found["frames"] > 100 and found["events"] >= 0
    assert 0 < found["frame_ns"]["p50"] <= found["frame_ns"]["p99"] and found["allocations_per_frame"] > 1
    if os.environ.get("OFFHOOK_SHOW"):
        print(line)
