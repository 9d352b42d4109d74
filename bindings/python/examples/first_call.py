# first_call.py: says a tone until somebody else was heard for a second, or the time is up. README.md shows this file.
import asyncio
import os
import sys

import numpy as np
import offhook


async def main(url: str, user: str, seconds: float = 20) -> bool:
    token, protocol = "development", offhook.Protocol.STREAM  # a real service wants a JWT, made by your server
    if url.startswith("ws"):  # LiveKit; without the settings that of `livekit-server --dev`
        key, secret = os.environ.get("LIVEKIT_API_KEY", "devkey"), os.environ.get("LIVEKIT_API_SECRET", "secret")
        token, protocol = offhook.access_token(key, secret, user, "demo"), offhook.Protocol.LIVEKIT
    async with offhook.Client(url, user_id=user, token=token, protocol=protocol) as client:
        async with client.join("demo") as call:
            print(f"joined; waiting {seconds:g} s at most for somebody to be heard: start another one with another name")
            track = call.publish_audio()
            tone = 0.2 * np.sin(np.arange(int(seconds * 48000)) * 2 * np.pi * 440 / 48000)
            saying = asyncio.create_task(track.write(tone.astype(np.float32)))
            heard = asyncio.create_task(hear(call))
            await asyncio.wait({saying, heard}, return_when=asyncio.FIRST_COMPLETED)
            if heard.done():
                print(heard.result())
                await asyncio.wait({saying}, timeout=2)  # so that the other hears enough, too
            else:
                print("nobody was heard")
            saying.cancel()
            return heard.done()  # leaving sends what was written, and ends `hear`


async def hear(call: offhook.Call) -> str:
    count = 0
    async for frame in call.audio():  # 20 ms of one participant: a NumPy array in frame.samples
        count += not frame.silence
        if count == 50:
            return f"a second of {frame.user_id}, {frame.rate} Hz, loudness {frame.level:.2f}"
    return "over"


sys.exit(not asyncio.run(main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))))
