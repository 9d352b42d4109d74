"""support.py: helpers of the tests: the SFU and its control API, deadlines, tones, and recorders."""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import itertools
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable

import numpy as np

import offhook
from offhook import blocking

ROOT = Path(__file__).resolve().parents[3]
BINDING = Path(__file__).resolve().parents[1]
URL = os.environ["OFFHOOK_SFU_URL"]
TOKEN = "development-secret-4711"

_numbers = itertools.count(1)


def unique(name: str) -> str:
    """A name that no other test has: they share one SFU."""
    return f"py-{name}-{os.getpid()}-{next(_numbers)}"


def deadline(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The time limit of a test. A coroutine is cancelled then; one that cannot be cancelled ends the run."""

    def wrap(test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            faulthandler.dump_traceback_later(seconds + 5, exit=True, file=sys.__stderr__)
            try:
                if asyncio.iscoroutinefunction(test):
                    asyncio.run(asyncio.wait_for(test(*args, **kwargs), seconds))
                else:
                    test(*args, **kwargs)
            finally:
                faulthandler.cancel_dump_traceback_later()

        return run

    return wrap


def ctl(what: str, **body: Any) -> Any:
    """A request to the SFU's control API. Blocks for a moment, which is good enough for a test."""
    request = urllib.request.Request(f"{URL}/ctl/{what}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def sessions(user: str) -> "list[dict[str, Any]]":
    """The SFU's sessions of a user: live ones, then those that have ended."""
    state = ctl("state")
    return [s for s in state["sessions"] + state["gone"] if s["user_id"] == user]


def live(user: str) -> bool:
    """Whether the SFU has a live session of this user."""
    return any(s["user_id"] == user for s in ctl("state")["sessions"])


async def until(true: Callable[[], Any], what: str, seconds: float = 10) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        await asyncio.sleep(0.01)


def until_blocking(true: Callable[[], Any], what: str, seconds: float = 10) -> None:
    """The same, in a thread."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.01)


def client(user: str, **options: Any) -> offhook.Client:
    options.setdefault("token", TOKEN)
    return offhook.Client(URL, user_id=user, **options)


def blocking_client(user: str, **options: Any) -> blocking.Client:
    options.setdefault("token", TOKEN)
    return blocking.Client(URL, user_id=user, **options)


class Record:
    """Handlers that record the events and the audio of a call."""

    def __init__(self) -> None:
        self.events: "list[offhook.Event]" = []
        self.frames: "list[offhook.AudioFrame]" = []

    def event(self, _call: Any, event: offhook.Event) -> None:
        self.events.append(event)

    def audio(self, _call: Any, frame: offhook.AudioFrame) -> None:
        self.frames.append(frame)
        del self.frames[:-500]

    def of(self, kind: type, since: int = 0, **fields: Any) -> "list[Any]":
        """The events of a class whose fields have these values."""
        return [
            e for e in self.events[since:]
            if isinstance(e, kind) and all(getattr(e, k) == v for k, v in fields.items())
        ]  # fmt: skip

    async def wait(self, kind: type, since: int = 0, seconds: float = 10, **fields: Any) -> Any:
        await until(lambda: self.of(kind, since, **fields), f"{kind.__name__} {fields}", seconds)
        return self.of(kind, since, **fields)[0]

    def receives(self, user: str, hz: float, source: int = offhook.TrackSource.MICROPHONE) -> bool:
        """Whether the last 200 ms of a user's track with this source are this tone."""
        frames = [f for f in self.frames if f.user_id == user and f.source == source and not f.silence][-10:]
        if len(frames) < 10:
            return False
        pcm = np.concatenate([f.samples for f in frames])
        return loudness(pcm, hz, frames[0].sample_rate_hz) > 10 * loudness(pcm, 1000 if hz != 1000 else 440, frames[0].sample_rate_hz)

    async def wait_tone(
        self, user: str, hz: float, seconds: float = 10, source: int = offhook.TrackSource.MICROPHONE
    ) -> None:
        """Waits until the tone is in frames received after this call."""
        self.frames.clear()
        await until(lambda: self.receives(user, hz, source), f"{hz} Hz of {user}", seconds)


def loudness(pcm: Any, hz: float, rate: int) -> float:
    """The share of a frequency in audio (Goertzel, as a plain sum)."""
    x = np.asarray(pcm, np.float64)
    if x.ndim > 1:
        x = x[:, 0]
    turn = np.exp(-2j * np.pi * hz * np.arange(len(x)) / rate)
    return float(abs(np.dot(x, turn)) / len(x)) + 1e-9


def tone(hz: float, seconds: float = 1.0, rate: int = 48000, kind: Any = np.int16) -> Any:
    """A tone of whole periods per second, to be repeated without a click."""
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)
    return wave.astype(np.float32) if kind is np.float32 else (wave * 32767).astype(np.int16)


class Talker:
    """A task that writes a tone until it is stopped or the track has ended."""

    def __init__(self, call: offhook.Call, hz: float, **options: Any) -> None:
        self.track = call.publish_audio(no_dtx=True, **options)
        self._samples = tone(hz, rate=self.track.sample_rate_hz)
        self._task = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while True:
                await self.track.write(self._samples)
        except (offhook.ClosedError, offhook.HandleError):
            pass

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def threads() -> int:
    """The threads of this process, those of the library included."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
