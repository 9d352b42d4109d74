"""Calls between an independent WebRTC stack (aiortc) and a C program that uses the library.

Each side publishes its own tone and must receive the other's; once with Twirp in JSON, once in protobuf, always with
protobuf in TEXT frames. Before that, two Python clients call each other, so that a failure shows which side is wrong.
"""

import argparse
import asyncio
import json
import logging
import pathlib
import sys
import time

import numpy as np
import tones
from client import Client, Clock

PYTHON_HZ, C_HZ = 620, 1100
SECONDS = 9  # how long the C program stays
ENOUGH = 2.0  # seconds of clean tone that count as received
LIMIT = 25  # seconds for one scenario


class AudioBuffer:
    """Keeps the last ten seconds of audio that one client received."""

    def __init__(self):
        self.samples = np.zeros(0)

    def __call__(self, frame):
        assert frame.sample_rate == tones.RATE, frame.sample_rate
        self.samples = np.concatenate([self.samples, tones.frame_samples(frame)])[-10 * tones.RATE :]

    async def wait_for(self, hz, watched):
        while tones.tone_seconds(self.samples, hz) < ENOUGH:
            for client in watched:
                if client.failed.done():
                    client.failed.result()
            await asyncio.sleep(0.1)


async def start_sfu(path, log):
    process = await asyncio.create_subprocess_exec(
        path, "--listen", "127.0.0.1:0", "--exit-with-stdin",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
    )  # fmt: skip
    line = await asyncio.wait_for(process.stdout.readline(), 10)
    return process, json.loads(line)["url"]


async def two_pythons(url, json_rpc):
    """Both sides are Python: checks the client and the SFU without the library."""
    buffers = [AudioBuffer(), AudioBuffer()]
    hz = [PYTHON_HZ, C_HZ]
    clients = [
        Client(url, f"py{n}", f"pythons-{json_rpc}", text_frames=True, json_rpc=json_rpc, on_audio=buffers[n])
        for n in range(2)
    ]
    try:
        for n, client in enumerate(clients):
            await client.join()
            await client.publish(tones.ToneTrack(hz[n], Clock()))
        await asyncio.gather(buffers[0].wait_for(hz[1], clients), buffers[1].wait_for(hz[0], clients))
        assert clients[0].participants == {"py0", "py1"}, clients[0].participants
    finally:
        for client in clients:
            await client.leave()
    return f"both received audio; {clients[0].counts}"


async def with_c(url, json_rpc, program, out):
    """The C program plays a WAV and records; the Python side plays a tone and receives."""
    name = "json" if json_rpc else "protobuf"
    played, recorded = out / "tone.wav", out / f"received-by-c-{name}.wav"
    recorded.unlink(missing_ok=True)
    tones.write_wav(played, C_HZ, SECONDS + 2)
    audio = AudioBuffer()
    client = Client(url, "python", f"mixed-{name}", text_frames=True, json_rpc=json_rpc, on_audio=audio)
    log = open(out / f"c-{name}.log", "wb")
    process = None
    try:
        await client.join()
        await client.publish(tones.ToneTrack(PYTHON_HZ, Clock()))
        process = await asyncio.create_subprocess_exec(
            str(program), "--url", url, "--user", "c", "--call", f"mixed-{name}", "--play", str(played),
            "--record", str(recorded), "--seconds", str(SECONDS), "--json",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        await audio.wait_for(C_HZ, [client])
        assert "c" in client.participants, client.participants
        status = await process.wait()
        assert status == 0, f"the C program ended with {status}; see {log.name}"
    finally:
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        await client.leave()
        log.close()
    here = tones.tone_seconds(audio.samples, C_HZ)
    there = tones.tone_seconds(tones.read_wav(recorded), PYTHON_HZ)
    assert there >= ENOUGH, f"the C program received only {there:.1f} s of the tone of {PYTHON_HZ} Hz"
    assert tones.tone_seconds(tones.read_wav(recorded), C_HZ) == 0, "the C program received its own tone"
    return f"Python received {here:.1f} s, C received {there:.1f} s; {client.counts}"


async def scenario(title, work):
    begin = time.monotonic()
    try:
        found = await asyncio.wait_for(work, LIMIT)
    except Exception as error:  # noqa: BLE001: any error; the other scenarios still run
        print(f"FAILED {title} ({time.monotonic() - begin:.1f} s): {type(error).__name__}: {error}", flush=True)
        logging.debug("details", exc_info=True)
        return False
    print(f"ok {title} ({time.monotonic() - begin:.1f} s): {found}", flush=True)
    return True


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sfu", type=pathlib.Path, required=True)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only-python", action="store_true", help="leave the C program out")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.ERROR)
    logging.getLogger("websockets").setLevel(logging.INFO)
    tones.self_test()
    with open(options.out / "sfu.log", "wb") as log:
        sfu, url = await start_sfu(options.sfu, log)
        results = []
        for json_rpc in (True, False):
            form = f"TEXT frames, {'JSON' if json_rpc else 'protobuf'} Twirp"
            results.append(await scenario(f"two aiortc clients, {form}", two_pythons(url, json_rpc)))
            if not options.only_python:
                work = with_c(url, json_rpc, options.program, options.out)
                results.append(await scenario(f"aiortc and the C program, {form}", work))
        sfu.stdin.close()
        await asyncio.wait_for(sfu.wait(), 10)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
