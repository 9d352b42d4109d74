"""bench.py: the overhead of an event and a frame of 20 ms from the library to a handler in Python.

    OFFHOOK_SFU_URL=http://127.0.0.1:PORT python bench.py [--mode asyncio|threads] [--seconds 5]

100 calls in one process, users u0 to u99 in ten rooms of ten; one in each room sends, the others receive. Prints
one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import threading
import time
from typing import Any

import numpy as np
import offhook
from offhook import _native, blocking
from offhook._binding import ffi
from offhook.audio import frame_of

URL = os.environ["OFFHOOK_SFU_URL"]
CALLS, ROOMS = 100, 10
LATE_NS = 20_000_000

now = time.perf_counter_ns
at = threading.local()  # when the current item entered the binding, on this thread
to_handler: dict[str, list[int]] = {"frame": [], "event": []}
whole: dict[str, list[int]] = {"frame": [], "event": []}
measuring = False

NOTES = {
    "asyncio": "from the return of oh_call_wait_event to the handler's first line, and to the next oh_call_wait_event;"
    " not measured: how long an item waited for the loop",
    "threads": "from the first line of Python in the C callback to the handler's first line, and to its return;"
    " not measured: cffi taking the interpreter's lock before it",
}


def on_event(call: Any, event: Any) -> None:
    took = now() - at.time
    at.kind = "event"
    if measuring:
        to_handler["event"].append(took)


def on_audio(call: Any, frame: Any) -> None:
    took = now() - at.time
    at.kind = "frame"
    if measuring:
        to_handler["frame"].append(took)


def done() -> None:
    """Ends the measurement of the current item, if any."""
    kind = getattr(at, "kind", None)
    if kind and measuring:
        whole[kind].append(now() - at.time)
    at.kind = None


def time_pulling() -> None:
    """Adds a timer after oh_call_wait_event."""
    real = _native.lib.oh_call_wait_event

    def timed(*given: Any) -> Any:
        done()
        result = real(*given)
        at.time = now()
        return result

    _native.lib.oh_call_wait_event = timed


def time_callbacks() -> None:
    """Adds a timer around the functions that the C callbacks call."""

    def timed(real: Any) -> Any:
        def run(*given: Any) -> None:
            at.time = now()
            real(*given)
            done()

        return run

    blocking._event = timed(blocking._event)
    blocking._audio = timed(blocking._audio)


def second() -> Any:
    return (9000 * np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000)).astype(np.int16)


async def run_asyncio(seconds: float) -> list[Any]:
    global measuring
    time_pulling()
    clients = [offhook.Client(URL, user_id=f"u{i}", token="t") for i in range(CALLS)]
    calls = await asyncio.gather(*(
        c.join(f"bench-{os.getpid()}-{i // ROOMS}", on_event=on_event, on_audio=on_audio) for i, c in enumerate(clients)
    ))  # fmt: skip

    async def write_audio(track: Any) -> None:
        while True:
            await track.write(second())

    tasks = [asyncio.create_task(write_audio(c.publish_audio(no_dtx=True))) for c in calls[::ROOMS]]
    await asyncio.sleep(1)
    measuring = True
    await asyncio.sleep(seconds)
    measuring = False
    for task in tasks:
        task.cancel()
    figures = [(c.stats(), c.audio_frames_dropped) for c in calls]
    await asyncio.gather(*(c.close() for c in clients))
    return figures


def run_threads(seconds: float) -> list[Any]:
    global measuring
    time_callbacks()
    clients = [blocking.Client(URL, user_id=f"u{i}", token="t") for i in range(CALLS)]
    calls = [
        c.join_nowait(f"bench-{os.getpid()}-{i // ROOMS}", on_event=on_event, on_audio=on_audio)
        for i, c in enumerate(clients)
    ]
    for call in calls:
        call.wait_state(offhook.CallState.JOINED, 20)
    stop = threading.Event()

    def write_audio(tracks: list[Any]) -> None:
        pieces = np.split(second(), 50)
        n = 0
        while not stop.is_set():
            for track in tracks:
                try:
                    track.write_nowait(pieces[n % 50])
                except offhook.FullError:
                    pass
            n += 1
            stop.wait(0.019)

    writer = threading.Thread(target=write_audio, args=([c.publish_audio(no_dtx=True) for c in calls[::ROOMS]],))
    writer.start()
    time.sleep(1)
    measuring = True
    time.sleep(seconds)
    measuring = False
    stop.set()
    writer.join()
    figures = [(c.stats(), 0) for c in calls]
    for c in clients:
        c.free()
    return figures


def held_blocks() -> float:
    """Blocks of memory that one frame holds in the handler; temporary allocations are not counted."""
    samples, name = ffi.new("int16_t[]", 960), ffi.new("char[]", b"somebody")
    raw = ffi.new("oh_audio_frame *", {"user_id": name, "session_id": name, "samples_s16": samples, "frames": 960, "sample_rate_hz": 48000,
                                 "size": ffi.sizeof("oh_audio_frame"), "channels": 1, "source": 1, "rtp_timestamp": 123456789})  # fmt: skip
    frame_of(raw)
    kept: list[Any] = [None] * 1000
    before = sys.getallocatedblocks()
    for i in range(1000):
        kept[i] = frame_of(raw)
    return (sys.getallocatedblocks() - before) / 1000 + 1  # and the samples, which NumPy allocates separately


def spread(values: list[int]) -> dict[str, int]:
    if not values:
        return {"p50": 0, "p99": 0}
    return {"p50": int(np.percentile(values, 50)), "p99": int(np.percentile(values, 99))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["asyncio", "threads"], default="asyncio")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS", "5")))
    given = parser.parse_args()
    cpu = time.process_time()
    figures = asyncio.run(run_asyncio(given.seconds)) if given.mode == "asyncio" else run_threads(given.seconds)
    print(json.dumps({
        "language": "python", "mode": given.mode, "version": platform.python_version(),
        "frames": len(to_handler["frame"]), "events": len(to_handler["event"]),
        "frame_ns": spread(to_handler["frame"]), "event_ns": spread(to_handler["event"]),
        "frame_whole_ns": spread(whole["frame"]), "event_whole_ns": spread(whole["event"]),
        "allocations_per_frame": round(held_blocks(), 2),
        "late": sum(took > LATE_NS for took in to_handler["frame"]),
        "dropped": sum(s.audio_frames_dropped + dropped for s, dropped in figures),
        "cpu_s": round(time.process_time() - cpu, 2),
        "notes": NOTES[given.mode] + "; allocations_per_frame are blocks that a frame holds, not those freed on the way;"
        " late: frames that took more than 20 ms in the binding",
    }))  # fmt: skip


main()
