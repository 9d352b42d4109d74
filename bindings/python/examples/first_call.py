# first_call.py: joins a call, says a tone for two seconds, and tells who else is heard. README.md shows this file.
import asyncio
import sys

import numpy as np
import offhook


async def main(url: str, user: str) -> None:
    async with offhook.Client(url, user_id=user, token="development") as client:
        async with client.join("demo") as call:
            track = call.publish_audio()
            tone = 0.2 * np.sin(np.arange(2 * 48000) * 2 * np.pi * 440 / 48000)
            saying = asyncio.create_task(track.write(tone.astype(np.float32)))
            heard = 0
            async for frame in call.audio():  # 20 ms of one participant: a NumPy array in frame.samples
                heard += 1
                if heard == 50:
                    print(f"a second of {frame.user_id}, {frame.rate} Hz, loudness {frame.level:.2f}")
                    break
            await saying
            await track.drain()


asyncio.run(main(sys.argv[1], sys.argv[2]))
