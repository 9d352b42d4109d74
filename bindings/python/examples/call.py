"""call.py: a call: joins, plays a tone, prints events and received audio, and leaves.

    python call.py --url http://127.0.0.1:PORT --user ann --call demo
    python call.py --url wss://sfu.example.com --livekit --token T

It leaves on Enter or Ctrl-C, or after --seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter

import numpy as np
import offhook


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Joins a call, plays a tone, and prints received audio.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", help="the user; default: the one of the token")
    parser.add_argument("--call", help="the call; default, with --livekit: the one of the token")
    parser.add_argument("--token", default="development", help="a real service needs the user's JWT")
    parser.add_argument("--livekit", action="store_true")
    parser.add_argument("--tone", type=float, default=440, help="Hz; 0: none")
    parser.add_argument("--seconds", type=float, help="how long to stay; else until Enter or Ctrl-C")
    return parser.parse_args()


async def speak(call: offhook.Call, hz: float) -> None:
    """Plays a tone until the call has ended."""
    track = call.publish_audio()
    second = (0.2 * np.sin(np.arange(48000) * 2 * np.pi * hz / 48000)).astype(np.float32)
    try:
        while True:
            await track.write(second)
    except offhook.ClosedError:
        pass


async def listen(call: offhook.Call) -> None:
    """Prints once a second from whom audio was received, and its maximum level."""
    frames: Counter[str] = Counter()
    loudest: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    printed = loop.time()
    async for frame in call.audio():
        frames[frame.user_id] += 1
        loudest[frame.user_id] = max(loudest.get(frame.user_id, 0), frame.level)
        if loop.time() > printed + 1:
            for user, count in frames.items():
                print(f"received {user}: {count} frames, level {loudest[user]:.2f} at most", flush=True)
            frames.clear()
            loudest.clear()
            printed = loop.time()


async def watch(call: offhook.Call) -> None:
    """Prints the events; ends with the call."""
    async for event in call.events():
        if not isinstance(event, (offhook.AudioLevel, offhook.Counts)):
            print(f"{event.at_ms} ms: {event}", flush=True)


async def enter() -> None:
    """Waits for a line; without limit when standard input cannot be watched (then Ctrl-C ends it)."""
    loop = asyncio.get_running_loop()
    pressed = asyncio.Event()
    try:
        loop.add_reader(sys.stdin, pressed.set)
    except OSError:
        await pressed.wait()
    try:
        await pressed.wait()
    finally:
        loop.remove_reader(sys.stdin)


async def main() -> int:
    given = options()
    protocol = offhook.Protocol.LIVEKIT if given.livekit else offhook.Protocol.AUTO
    async with offhook.Client(given.url, user_id=given.user, token=given.token, protocol=protocol) as client:
        try:
            call = await client.join(given.call)
        except offhook.Error as error:
            print(f"not joined: {error}", file=sys.stderr)
            return 1
        tasks = [asyncio.create_task(listen(call)), asyncio.create_task(watch(call))]
        if given.tone:
            tasks.append(asyncio.create_task(speak(call, given.tone)))
        until = asyncio.create_task(asyncio.sleep(given.seconds) if given.seconds else enter())
        over = asyncio.create_task(call.ended())
        await asyncio.wait([until, over], return_when=asyncio.FIRST_COMPLETED)
        until.cancel()
        ended = await call.leave("bye")
        await asyncio.gather(*tasks)
        print(f"{ended.reason.name.lower()}: {call.stats().packets_sent} packets sent")
        return 0 if ended.reason == offhook.EndReason.LEFT else 1


try:
    sys.exit(asyncio.run(main()))
except KeyboardInterrupt:  # the client has left by now
    sys.exit(130)
