"""agent.py: a small voice agent: listens, and answers when a participant has finished speaking.

    python agent.py --url http://127.0.0.1:PORT --user agent --call demo [--answer tone]

The answer is the participant's audio (echo), or a tone. A real agent has speech recognition, a language model and
speech synthesis in answer(): it gets a turn as one NumPy array at 16 kHz, and returns another.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import offhook

RATE = 16000  # what speech models need; the library resamples in both directions
LOUD = 0.02  # above this level a participant speaks
PAUSE = 0.6  # seconds of silence that end a turn
LONGEST = 30  # seconds of a turn that are kept

Audio = npt.NDArray[np.int16]


@dataclass
class Turn:
    """The audio of one participant since the last answer."""

    frames: list[Audio] = field(default_factory=list)
    last_loud: float = 0


def answer(turn: Audio, how: str) -> Audio:
    """The answer to a turn."""
    if how == "echo":
        return turn
    tone: Audio = (8000 * np.sin(np.arange(RATE // 2) * 2 * np.pi * 660 / RATE)).astype(np.int16)
    return tone


async def listen(call: offhook.Call, turns: dict[str, Turn]) -> None:
    """Collects the audio of each participant."""
    loop = asyncio.get_running_loop()
    async for frame in call.audio():
        turn = turns.get(frame.session_id)
        if frame.level > LOUD and not frame.concealed:
            turn = turn or turns.setdefault(frame.session_id, Turn())
            turn.last_loud = loop.time()
        if turn and len(turn.frames) < LONGEST * 50:
            turn.frames.append(frame.samples)


async def reply(call: offhook.Call, turns: dict[str, Turn], how: str) -> None:
    """Answers a participant after a pause. Silence may not be sent at all, so a timer decides, not a frame."""
    loop = asyncio.get_running_loop()
    track = call.publish_audio(sample_rate_hz=RATE)
    while True:
        await asyncio.sleep(0.05)
        for session, turn in list(turns.items()):
            if loop.time() - turn.last_loud > PAUSE:
                del turns[session]
                said = np.concatenate(turn.frames)
                print(f"received {len(said) / RATE:.1f} s, answering", flush=True)
                try:
                    await track.write(answer(said, how))
                    await track.drain()
                except offhook.ClosedError:
                    return


async def main() -> int:
    parser = argparse.ArgumentParser(description="Answers when a participant has finished speaking.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", default="agent")
    parser.add_argument("--call", required=True)
    parser.add_argument("--token", default="development")
    parser.add_argument("--answer", choices=["echo", "tone"], default="echo")
    parser.add_argument("--seconds", type=float, help="how long to stay; else until Ctrl-C or the end of the call")
    given = parser.parse_args()
    turns: dict[str, Turn] = {}
    async with offhook.Client(given.url, user_id=given.user, token=given.token) as client:
        async with client.join(given.call, audio_sample_rate_hz=RATE) as call:
            print("joined", flush=True)
            both = [asyncio.create_task(listen(call, turns)), asyncio.create_task(reply(call, turns, given.answer))]
            try:
                await asyncio.wait_for(call.ended(), given.seconds)
            except asyncio.TimeoutError:
                pass
            for task in both:
                task.cancel()
            failed = [e for e in await asyncio.gather(*both, return_exceptions=True) if isinstance(e, Exception)]
            for error in failed:
                print(f"failed: {error!r}", file=sys.stderr)
            return 1 if failed else 0


try:
    sys.exit(asyncio.run(main()))
except KeyboardInterrupt:
    sys.exit(130)
