"""official.py: the same as probe.c on LiveKit's official client; the same options, the same lines.

The client does not report concealed audio: only `quiet_ms`, the longest time without the tone, can be compared.
"""

import argparse
import asyncio
import json
import logging
import os
import pathlib
import sys
import threading
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "livekit/official"))

from access import token  # noqa: E402
from livekit import rtc  # noqa: E402
from tones import RATE, Tone  # noqa: E402

AUDIBLE = 0.02
FRAME_MS = 20
LIMIT = 30  # seconds to connect


class Probe:
    def __init__(self, arguments):
        self.arguments = arguments
        self.began = time.monotonic()
        self.over = asyncio.Event()
        self.room = rtc.Room()
        self.joined = self.published = self.first = self.last = self.longest = 0.0
        self.resumed = 0
        self.tasks = set()
        self.room.on("track_subscribed", self.on_track)
        self.room.on("reconnected", self.on_reconnected)
        self.room.on("reconnecting", lambda: self.line("state", text="reconnecting"))
        self.room.on("disconnected", self.on_disconnected)

    def now(self):
        return (time.monotonic() - self.began) * 1e3

    def line(self, event, **more):
        print(json.dumps({"at": round(self.now()), "event": event, **more}), flush=True)

    def on_reconnected(self):
        self.resumed += 1
        self.line("reconnected", kind="unknown")

    def on_disconnected(self, reason):
        if not self.over.is_set():
            self.line("ended", text=f"disconnected: {rtc.DisconnectReason.Name(reason)}")
            self.over.set()

    def on_track(self, track, publication, participant):
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self.spawn(self.receive(track))

    def spawn(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def receive(self, track):
        async for event in rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1, frame_size_ms=FRAME_MS):
            samples = np.frombuffer(event.frame.data, dtype=np.int16) / 32768
            if np.sqrt(np.mean(samples**2)) >= AUDIBLE:
                self.mark()

    def mark(self):
        now = self.now()
        if not self.first:
            self.first = self.last = now
            self.line("first_frame")
        self.longest = max(self.longest, now - self.last)
        self.last = now

    async def join(self):
        a = self.arguments
        try:
            options = rtc.RoomOptions(connect_timeout=LIMIT)
            if a.relay_only:
                options.rtc_config = rtc.RtcConfiguration(ice_transport_type=rtc.IceTransportType.TRANSPORT_RELAY)
            await self.room.connect(a.url, token(a.key, a.secret, a.call, a.user), options)
        except rtc.ConnectError as e:
            self.line("ended", text=f"{type(e).__name__}: {e}")
            self.over.set()
            return
        self.joined = self.now()
        self.line("joined")
        await self.publish()

    async def publish(self):
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("mic", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        if self.arguments.bitrate:
            options.audio_encoding.max_bitrate = self.arguments.bitrate
        await self.room.local_participant.publish_track(track, options)
        self.published = self.now()
        tone = Tone(self.arguments.hz)
        while not self.over.is_set():
            samples = tone.frame()
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, len(samples)))

    async def run(self):
        loop = asyncio.get_running_loop()

        def watch_stdin():
            sys.stdin.buffer.read()
            loop.call_soon_threadsafe(self.over.set)

        threading.Thread(target=watch_stdin, daemon=True).start()
        self.line("begin", monotonic_ms=self.began * 1e3)
        joining = self.spawn(self.join())
        await self.over.wait()
        joining.cancel()
        if self.first:
            self.longest = max(self.longest, self.now() - self.last)
        self.line(
            "summary", joined_ms=self.joined, send_ms=self.published, receive_ms=self.first, first_frame_ms=self.first,
            gap_ms=0, quiet_ms=round(self.longest), fast=self.resumed, rejoin=0, migrate=0,
        )  # fmt: skip
        try:
            await asyncio.wait_for(self.room.disconnect(), 2)
        except asyncio.TimeoutError:
            pass


def parse():
    parser = argparse.ArgumentParser()
    for name in ("url", "user", "call", "key", "secret"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--hz", type=float, default=440)
    parser.add_argument("--bitrate", type=int)
    parser.add_argument("--relay-only", type=int, default=0)
    parser.add_argument("--ca", help="ignored: the client has no such option")
    return parser.parse_args()


async def main(arguments):
    await Probe(arguments).run()  # made inside the loop, which the room keeps


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(parse()))
    sys.stdout.flush()
    os._exit(0)  # the end of the interpreter would call into the client's threads
