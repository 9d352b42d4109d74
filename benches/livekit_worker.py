"""Benchmark worker for the official LiveKit client, the counterpart of benches/worker.c for the library.

    livekit_worker.py sessions --url U --key K --secret S --sessions N [--room-prefix P] [--seconds S]
    livekit_worker.py join     --url U --key K --secret S --room R --user NAME --count N
    livekit_worker.py talk     --url U --key K --secret S --room R --user NAME

Run it with tests/livekit/official/env.sh. Modes and output lines are those of benches/worker.c (tools/README.md), so that
the same driver can read them: it prints JSON objects, reads single words, and ends when stdin closes.
`--n`, `--prefix` and `--call` are aliases of --sessions, --room-prefix and --room.

  talk      joins, publishes, receives: the remote participant. {"kind":"ready"} once its track is published
  join      N times: join, wait for the first audio, leave. {"kind":"join","join_ms":n,"first_pcm_ms":n}, both from the call of connect
  sessions  {"kind":"idle"}; on `go` joins N sessions one after another, two per room (P0, P0, P1, ...; identities u0 and
            u1), each publishing and receiving; {"kind":"running"} two seconds after all receive audio; on `stop`
            {"kind":"sessions","n":n,"frames":n,"late_frames":n,"missing":n,"concealed":n,"late":n,"join_ms":[...],...}
            With --seconds it reads no words: it measures itself for that time, also prints
            {"kind":"measured", ...} with the field names of the `make bench` summary, and ends. For an odd N the
            missing remote participant runs in a separate process, which is not measured.

The benchmark measures the native library with as little Python as possible. The public classes subscribe one queue per
call to all events of the process; that cost grows with the square of the sessions and would dominate the result. So one
thread writes frames as prepared requests, at the pace of a sound card, and received frames are counted in the library's
callback, as in C. `--plain` uses the public classes instead.
The CPU share of the Python threads is reported separately (cpu_python_pct_per_session); callbacks run in the library's threads.

A frame is 20 ms. The client reports neither which frames are concealed nor when a frame was due. So a frame counts as late
if it is delivered more than 60 ms after the best schedule of the last one to two seconds. Concealed frames are taken from
the client's statistics. Frames that were due in the measured time but did not arrive are missing. late_frames is the sum.
Difference to the library: the library publishes a track while it joins, this client only afterwards.
"""

import argparse
import asyncio
import ctypes
import json
import logging
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/livekit/official"))

from access import add_arguments, checked_url, room_options, token  # noqa: E402
from livekit import rtc  # noqa: E402
from livekit.rtc import _ffi_client as ffi  # noqa: E402
from livekit.rtc._proto import audio_frame_pb2, ffi_pb2  # noqa: E402

RATE, FRAME, FRAME_MS, TONE_FRAMES = 48000, 960, 20, 50
LATE_MS, WINDOW = 60, 50
BITRATE = 64000  # the library's bitrate
LIMIT = 20  # seconds for one join
CALM = 2  # seconds between the last join and the measurement
TICKS = os.sysconf("SC_CLK_TCK")


def now_ms():
    return time.monotonic() * 1e3


def line(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)


def die(why):
    print(f"livekit_worker: {why}", file=sys.stderr, flush=True)
    os._exit(1)


def make_tone():
    """The tone of benches/worker.c: 440 Hz, with loudness varied by seeded noise."""
    seed, loud, level = 1, 0.5, []
    for _ in range(TONE_FRAMES * FRAME // 240):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        loud += ((seed >> 8) / 16777216.0 - loud) * 0.3
        level.append(3000 + 9000 * loud)
    wave = np.sin(np.arange(TONE_FRAMES * FRAME) * (440 * 2 * math.pi / RATE))
    return (np.repeat(level, 240) * wave).astype("<i2").reshape(TONE_FRAMES, FRAME)


TONE = make_tone()


# -- the client without its Python classes in the measured path ----------------------------------


class Direct(ffi.FfiQueue):
    """Replaces the client's event queue: passes frames directly to their receiver, all other events to the base class."""

    def __init__(self):
        super().__init__()
        self.receivers = {}
        self.drop = ffi.FfiClient.instance._ffi_lib.livekit_ffi_drop_handle
        self.refused = 0

    def put(self, event):
        kind = event.WhichOneof("message")
        if kind == "audio_stream_event":
            received = event.audio_stream_event
            if received.HasField("frame_received"):
                frame = received.frame_received.frame
                if receiver := self.receivers.get(received.stream_handle):
                    receiver(frame.info)
                self.drop(frame.handle.id)
        elif kind == "capture_audio_frame":
            self.refused += bool(event.capture_audio_frame.error)
        else:
            super().put(event)


class Writer:
    """Writes frames of the tone to a source, as requests prepared in advance."""

    def __init__(self, source):
        self.request = ffi.FfiClient.instance._ffi_lib.livekit_ffi_request
        self.drop = ffi.FfiClient.instance._ffi_lib.livekit_ffi_drop_handle
        self.made = []
        for frame in TONE:
            request = ffi_pb2.FfiRequest()
            capture = request.capture_audio_frame
            capture.source_handle = source._ffi_handle.handle
            capture.buffer.data_ptr = frame.ctypes.data
            capture.buffer.num_channels = 1
            capture.buffer.sample_rate = RATE
            capture.buffer.samples_per_channel = FRAME
            data = request.SerializeToString()
            self.made.append((ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_ubyte)), len(data), data))
        self.answer, self.size = ctypes.POINTER(ctypes.c_ubyte)(), ctypes.c_size_t()

    def write(self, i):
        data, size, _ = self.made[i]
        self.drop(self.request(data, size, ctypes.byref(self.answer), ctypes.byref(self.size)))


def open_stream(direct, track, receiver):
    """Calls receiver(info) for every frame of the track, on a thread of the library."""
    request = ffi_pb2.FfiRequest()
    stream = request.new_audio_stream
    stream.track_handle = track._ffi_handle.handle
    stream.type = audio_frame_pb2.AudioStreamType.AUDIO_STREAM_NATIVE
    stream.sample_rate, stream.num_channels, stream.frame_size_ms = RATE, 1, FRAME_MS
    handle = ffi.FfiClient.instance.request(request).new_audio_stream.stream.handle.id
    direct.receivers[handle] = receiver
    return ffi.FfiHandle(handle)


def is_audible(info):
    return any(ctypes.string_at(info.data_ptr, info.samples_per_channel * 2))


# -- sessions ----------------------------------------------------------------------------------


class Session:
    """One participant: joins, publishes, receives the other participant."""

    def __init__(self, worker, room, identity):
        self.worker, self.name, self.identity = worker, room, identity
        self.room = rtc.Room()
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("disconnected", self.disconnected)
        self.ended = self.receiving = self.counting = False
        self.published = 0
        self.first_ms = None
        self.frames = self.late = self.index = self.in_window = 0
        self.best = self.best_before = 0.0
        self.track = self.stream = self.writer = None
        self.first = threading.Event()

    async def join(self):
        """Joins the room. Returns the duration in ms."""
        a = self.worker.arguments
        pass_ = token(a.key, a.secret, self.name, self.identity)
        began = now_ms()
        await asyncio.wait_for(self.room.connect(a.url, pass_, room_options(two_connections=a.two_connections)), LIMIT)
        return now_ms() - began

    async def publish(self):
        a = self.worker.arguments
        self.source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("mic", self.source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=a.red)
        options.audio_encoding.max_bitrate = a.bitrate
        await asyncio.wait_for(self.room.local_participant.publish_track(track, options), LIMIT)
        self.local = track
        self.writer = None if a.plain else Writer(self.source)
        self.published = 1
        if a.plain:
            self.pump = asyncio.create_task(self.play())

    async def play(self):
        """Writes frames through the public class; the source keeps the pace."""
        i = 0
        while not self.ended:
            await self.source.capture_frame(rtc.AudioFrame(TONE[i].tobytes(), RATE, 1, FRAME))
            i = (i + 1) % TONE_FRAMES

    def subscribed(self, track, publication, participant):
        if self.track is not None or track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        self.track = track
        if self.worker.arguments.plain:
            self.pull = asyncio.create_task(self.receive_stream(track))
        else:
            self.stream = open_stream(self.worker.direct, track, self.receive_info)

    async def receive_stream(self, track):
        async for event in rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1, frame_size_ms=FRAME_MS):
            self.receive(lambda: any(event.frame.data))

    def receive_info(self, info):
        self.receive(lambda: is_audible(info))

    def receive(self, loud):
        now = now_ms()
        if not self.receiving:
            if not loud():
                return
            self.best = self.best_before = now
            self.first_ms = now
            self.receiving = True
            self.first.set()
        offset = now - self.index * FRAME_MS
        self.index += 1
        self.best = min(self.best, offset)
        self.in_window += 1
        if self.in_window == WINDOW:
            self.best_before, self.best, self.in_window = self.best, offset, 0
        if self.counting:
            self.frames += 1
            self.late += offset - min(self.best, self.best_before) > LATE_MS

    def disconnected(self, reason):
        self.ended = True
        if not self.worker.ending:
            die(f"{self.name} {self.identity}: the session ended: {rtc.DisconnectReason.Name(reason)}")

    async def concealed(self):
        """Concealed frames so far, from the client's statistics."""
        samples = 0
        for stats in await asyncio.wait_for(self.track.get_stats(), LIMIT):
            if stats.WhichOneof("stats") == "inbound_rtp":
                samples += stats.inbound_rtp.inbound.concealed_samples
        return samples / FRAME

    async def wait_for_audio(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.receiving:
            if time.monotonic() > deadline:
                die(f"{self.name} {self.identity}: no audio received")
            await asyncio.sleep(0.01)


class Worker:
    def __init__(self, arguments):
        self.arguments = arguments
        self.ending = False
        self.sessions = []
        self.direct = Direct()
        if not arguments.plain:
            ffi.FfiClient.instance._queue = self.direct
        self.words = asyncio.Queue()
        threading.Thread(target=self.read_words, args=(asyncio.get_running_loop(),), daemon=True).start()
        self.pacing = 0
        if not arguments.plain:
            threading.Thread(target=self.pace, daemon=True).start()

    def read_words(self, loop):
        rest = b""
        while some := os.read(0, 4096):
            *lines, rest = (rest + some).split(b"\n")
            for word in lines:
                loop.call_soon_threadsafe(self.words.put_nowait, word.decode().strip())
        if self.arguments.seconds is None:
            os._exit(0)

    async def word(self, wanted):
        while await self.words.get() != wanted:
            pass

    def pace(self):
        """One application thread writes for all sessions, at the pace of a sound card."""
        self.pacing = threading.get_native_id()
        at, i = time.monotonic(), 0
        while True:
            for k, session in enumerate(self.sessions):
                if not session.published:
                    continue
                # Start three frames ahead.
                for _ in range(3 if session.published == 1 else 1):
                    session.writer.write((i + k) % TONE_FRAMES)
                session.published = 2
            i = (i + 1) % TONE_FRAMES
            at += FRAME_MS / 1e3
            time.sleep(max(0.0, at - time.monotonic()))

    # -- modes

    async def talk(self):
        session = Session(self, self.arguments.room, self.arguments.user)
        self.sessions.append(session)
        await session.join()
        await session.publish()
        line("ready")
        await asyncio.Event().wait()

    async def join(self):
        for _ in range(self.arguments.count):
            session = Session(self, self.arguments.room, self.arguments.user)
            began = now_ms()
            join_ms = await session.join()
            await session.wait_for_audio(LIMIT)
            line("join", join_ms=round(join_ms, 3), first_pcm_ms=round(session.first_ms - began, 3))
            self.ending = True
            session.stream = None
            await session.room.disconnect()
            self.ending = False

    async def many(self):
        a = self.arguments
        other = None
        line("idle")
        idle = look()
        if a.seconds is None:
            await self.word("go")
        elif a.sessions % 2:
            other = self.start_other(f"{a.room_prefix}{a.sessions // 2}")
        join_ms = []
        for i in range(a.sessions):
            session = Session(self, f"{a.room_prefix}{i // 2}", f"u{i % 2}")
            join_ms.append(round(await session.join(), 3))
            await session.publish()
            self.sessions.append(session)
        for session in self.sessions:
            await session.wait_for_audio(2 * LIMIT)
        await asyncio.sleep(CALM)  # let the load of the joins settle
        concealed = [await s.concealed() for s in self.sessions]
        before, began = look(), time.monotonic()
        for session in self.sessions:
            session.counting = True
        line("running")
        if a.seconds is None:
            await self.word("stop")
        else:
            await asyncio.sleep(a.seconds)
        for session in self.sessions:
            session.counting = False
        took, after = time.monotonic() - began, look()
        made_up = sum([await s.concealed() for s in self.sessions]) - sum(concealed)
        due = int(took * 1e3 / FRAME_MS)
        # The two ends of the measured time can account for one frame.
        missing = sum(max(0, due - s.frames - 1) for s in self.sessions)
        late = sum(s.late for s in self.sessions)
        frames = sum(s.frames for s in self.sessions) + missing
        bad = min(frames, late + missing + round(made_up))
        line(
            "sessions", n=a.sessions, frames=frames, late_frames=bad, missing=missing, concealed=round(made_up), late=late,
            writes_refused=self.direct.refused, join_ms=join_ms, cpu_python_pct=self.python_share(before, after, took),
        )  # fmt: skip
        if a.seconds is not None:
            self.report(idle, before, after, took, frames, bad, join_ms)
        if other:
            other.stdin.close()
            other.wait(10)

    def start_other(self, room):
        """Starts the peer of an unpaired session, in a separate process."""
        a = self.arguments
        other = subprocess.Popen(
            [sys.executable, __file__, "talk", "--url", a.url, "--key", a.key, "--secret", a.secret,
             "--room", room, "--user", "other"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        if json.loads(other.stdout.readline() or b"{}").get("kind") != "ready":
            die("the remote participant is not ready")
        return other

    def python_share(self, before, after, took):
        """CPU time of the Python threads, in % of a core."""

        def cpu(of):
            return sum(seconds for tid, seconds in of["threads"].items() if tid in (os.getpid(), self.pacing))

        return round((cpu(after) - cpu(before)) / took * 100, 3)

    def report(self, idle, before, after, took, frames, bad, join_ms):
        n = self.arguments.sessions
        size, stripped = library_bytes()
        line(
            "measured", n=n, seconds=round(took, 2),
            cpu_pct_per_session=round((after["cpu_s"] - before["cpu_s"]) / took * 100 / n, 3),
            cpu_python_pct_per_session=round(self.python_share(before, after, took) / n, 3),
            rss_kb_per_session=round((after["rss_kb"] - idle["rss_kb"]) / n, 1), rss_kb=after["rss_kb"],
            threads=len(after["threads"]), threads_before=len(idle["threads"]), fds=after["fds"],
            fds_per_session=round((after["fds"] - idle["fds"]) / n, 2),
            late_frames_pct=round(bad / frames * 100, 3), frames=frames,
            join_ms_p50=round(float(np.percentile(join_ms, 50)), 3), join_ms_p95=round(float(np.percentile(join_ms, 95)), 3),
            waited_pct=round(max(0.0, after["wait_s"] - before["wait_s"]) / took * 100, 1),
            library_bytes=size, library_stripped_bytes=stripped,
        )  # fmt: skip


def look():
    """Resource usage of this process, read like tools/src/bench/procfs.rs does for another process."""
    fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    status = pathlib.Path("/proc/self/status").read_text()
    threads, wait = {}, 0.0
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            of = (task / "stat").read_text().rpartition(")")[2].split()
            threads[int(task.name)] = (int(of[11]) + int(of[12])) / TICKS
            wait += int((task / "schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            continue  # the thread has ended, or the kernel keeps no statistics
    return {
        "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS,
        "rss_kb": int(status.split("VmRSS:")[1].split()[0]),
        "threads": threads,
        "wait_s": wait,
        "fds": len(os.listdir("/proc/self/fd")),
    }


def library_bytes():
    """Size of the native library: as shipped in the wheel, and stripped if `strip` is available."""
    path = pathlib.Path(rtc.__file__).parent / "resources" / "liblivekit_ffi.so"
    stripped = None
    if shutil.which("strip"):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "stripped.so"
            if subprocess.run(["strip", "--strip-unneeded", "-o", out, path], check=False).returncode == 0:
                stripped = out.stat().st_size
    return path.stat().st_size, stripped


def parse():
    parser = argparse.ArgumentParser(description="benchmark worker for the official LiveKit client")
    parser.add_argument("mode", choices=("talk", "join", "sessions"))
    add_arguments(parser)
    parser.add_argument("--room", "--call", default="bench")
    parser.add_argument("--user", default="bench")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--sessions", "--n", type=int, default=1)
    parser.add_argument("--room-prefix", "--prefix", default="bench")
    parser.add_argument("--seconds", type=float, help="measure for this many seconds and end")
    parser.add_argument(
        "--two-connections", action="store_true", help="older protocol with two peer connections: publisher and subscriber"
    )
    parser.add_argument("--red", action="store_true", help="redundant audio (RED), the client's default")
    parser.add_argument("--bitrate", type=int, default=BITRATE, help="Opus bitrate, bit/s")
    parser.add_argument("--plain", action="store_true", help="use the public classes only")
    arguments = parser.parse_args()
    arguments.url = checked_url(arguments.url)
    if not (arguments.key and arguments.secret):
        parser.error("--key and --secret are required: each session has its own token")
    if not (1 <= arguments.count and 1 <= arguments.sessions <= 10000):
        parser.error("a number is out of range")
    return arguments


async def main(arguments):
    worker = Worker(arguments)
    await {"talk": worker.talk, "join": worker.join, "sessions": worker.many}[arguments.mode]()
    worker.ending = True
    for session in worker.sessions:
        session.published = 0
    if leaving := [asyncio.create_task(s.room.disconnect()) for s in worker.sessions]:
        await asyncio.wait(leaving, timeout=LIMIT)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="livekit_worker: %(message)s")
    asyncio.run(main(parse()))
