# first_call.py: plays a tone until it has received a second of audio, or the time is over. README.md shows this file.
import asyncio
import os
import sys

import numpy as np
import offhook


async def main(url: str, user: str, seconds: float = 20) -> bool:
    token = "development"  # a real service needs a JWT, made by your server
    if url.startswith("ws"):  # LiveKit; the defaults are those of `livekit-server --dev`
        key, secret = os.environ.get("LIVEKIT_API_KEY", "devkey"), os.environ.get("LIVEKIT_API_SECRET", "secret")
        token = offhook.create_access_token(key, secret, user, "demo")
    async with offhook.Client(url, user_id=user, token=token) as client:
        async with client.join("demo") as call:
            print(f"joined; waiting {seconds:g} s at most for audio of another participant: start a second one with another name")
            track = call.publish_audio()
            tone = 0.2 * np.sin(np.arange(int(seconds * 48000)) * 2 * np.pi * 440 / 48000)
            speaking = asyncio.create_task(track.write(tone.astype(np.float32)))
            received = asyncio.create_task(receive(call))
            await asyncio.wait({speaking, received}, return_when=asyncio.FIRST_COMPLETED)
            if received.done():
                print(received.result())
                await asyncio.wait({speaking}, timeout=2)  # so that the other one receives enough as well
            else:
                print("no audio was received")
            speaking.cancel()
            return received.done()  # leaving sends what was written, and ends `receive`


async def receive(call: offhook.Call) -> str:
    count = 0
    async for frame in call.audio():  # 20 ms of one track: a NumPy array in frame.samples
        count += not frame.silence
        if count == 50:
            return f"a second of {frame.user_id}, {frame.sample_rate_hz} Hz, level {frame.level:.2f}"
    return "over"


sys.exit(not asyncio.run(main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))))
