"""The official LiveKit client as a subject of the benchmark: what benches/worker.c is for the library.

    livekit_worker.py sessions --url U --key K --secret S --sessions N [--room-prefix P] [--seconds S]
    livekit_worker.py join     --url U --key K --secret S --room R --user NAME --count N
    livekit_worker.py talk     --url U --key K --secret S --room R --user NAME

Run it with tests/livekit/official/env.sh. Shape and lines are those of benches/worker.c (tools/README.md), so that the same
driver can read them: objects of JSON go out, single words come in, the process ends with its stdin.
`--n`, `--prefix` and `--call` are other names of --sessions, --room-prefix and --room.

  talk      joins, publishes, hears: the other side. {"kind":"ready"} once its track is published
  join      N times: join, wait for the first sound, leave. {"kind":"join","join_ms":n,"first_pcm_ms":n}, both from the call of connect
  sessions  {"kind":"idle"}; on `go` joins N sessions one after another, two to a room (P0, P0, P1, ...; identities u0 and
            u1), each publishing and hearing; {"kind":"running"} when all hear and two more seconds have passed; on `stop`
            {"kind":"sessions","n":n,"frames":n,"late_frames":n,"missing":n,"concealed":n,"late":n,"join_ms":[...],...}
            With --seconds it waits for no word: it measures itself for so long, prints
            {"kind":"measured", ...} with the names of the summary of `make bench` besides, and ends. An odd N gets
            the missing other side from a process of its own, which is not measured.

What is measured is the native library with as little Python as can be: the public classes subscribe one queue per call
to all events of the process, which grows with the square of the sessions and would say more about that loop than about
the client. So frames are written as requests that were made in advance, by one thread in the rhythm of a sound card, and what is heard
is counted in the callback of the library itself, as in C. `--plain` uses the public classes instead.
The share of the Python threads is reported apart (cpu_python_pct_per_session); callbacks run in the library's own threads.

A frame is 20 ms. The client does not say which of the frames that it hands out are made up, nor when a frame was due;
so a frame counts as late when it is handed over more than 60 ms after the best schedule of the last one to two seconds,
the concealed ones are taken from the statistics of the client, and those that should have come in the time
measured, but did not, are missing. late_frames is the sum. Compared with the library: it publishes a track while it joins,
this client only after.
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
BITRATE = 64000  # what the library uses
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
    """The tone of benches/worker.c: 440 Hz, whose loudness a seeded noise changes."""
    seed, loud, level = 1, 0.5, []
    for _ in range(TONE_FRAMES * FRAME // 240):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        loud += ((seed >> 8) / 16777216.0 - loud) * 0.3
        level.append(3000 + 9000 * loud)
    wave = np.sin(np.arange(TONE_FRAMES * FRAME) * (440 * 2 * math.pi / RATE))
    return (np.repeat(level, 240) * wave).astype("<i2").reshape(TONE_FRAMES, FRAME)


TONE = make_tone()


# -- the client without its Python classes where it matters -------------------------------------


class Direct(ffi.FfiQueue):
    """In place of the client's queue: frames go to whom they are for, everything else on its way."""

    def __init__(self):
        super().__init__()
        self.hearers = {}
        self.drop = ffi.FfiClient.instance._ffi_lib.livekit_ffi_drop_handle
        self.refused = 0

    def put(self, event):
        kind = event.WhichOneof("message")
        if kind == "audio_stream_event":
            heard = event.audio_stream_event
            if heard.HasField("frame_received"):
                frame = heard.frame_received.frame
                if hearer := self.hearers.get(heard.stream_handle):
                    hearer(frame.info)
                self.drop(frame.handle.id)
        elif kind == "capture_audio_frame":
            self.refused += bool(event.capture_audio_frame.error)
        else:
            super().put(event)


class Writer:
    """Writes frames of the tone to a source, as requests that were made in advance."""

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


def open_stream(direct, track, hearer):
    """Hands every frame of the track to hearer(info), from a thread of the library."""
    request = ffi_pb2.FfiRequest()
    stream = request.new_audio_stream
    stream.track_handle = track._ffi_handle.handle
    stream.type = audio_frame_pb2.AudioStreamType.AUDIO_STREAM_NATIVE
    stream.sample_rate, stream.num_channels, stream.frame_size_ms = RATE, 1, FRAME_MS
    handle = ffi.FfiClient.instance.request(request).new_audio_stream.stream.handle.id
    direct.hearers[handle] = hearer
    return ffi.FfiHandle(handle)


def sounds(info):
    return any(ctypes.string_at(info.data_ptr, info.samples_per_channel * 2))


# -- sessions ----------------------------------------------------------------------------------


class Session:
    """One participant: joins, publishes, hears the one other."""

    def __init__(self, worker, room, identity):
        self.worker, self.name, self.identity = worker, room, identity
        self.room = rtc.Room()
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("disconnected", self.disconnected)
        self.ended = self.hears = self.counting = False
        self.on_air = 0
        self.first_ms = None
        self.frames = self.late = self.index = self.in_window = 0
        self.best = self.best_before = 0.0
        self.track = self.stream = self.writer = None
        self.first = threading.Event()

    async def join(self):
        """ms that it took."""
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
        self.on_air = 1
        if a.plain:
            self.pump = asyncio.create_task(self.play())

    async def play(self):
        """The public way: the source keeps the pace."""
        i = 0
        while not self.ended:
            await self.source.capture_frame(rtc.AudioFrame(TONE[i].tobytes(), RATE, 1, FRAME))
            i = (i + 1) % TONE_FRAMES

    def subscribed(self, track, publication, participant):
        if self.track is not None or track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        self.track = track
        if self.worker.arguments.plain:
            self.pull = asyncio.create_task(self.listen(track))
        else:
            self.stream = open_stream(self.worker.direct, track, self.hear_info)

    async def listen(self, track):
        async for event in rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1, frame_size_ms=FRAME_MS):
            self.hear(lambda: any(event.frame.data))

    def hear_info(self, info):
        self.hear(lambda: sounds(info))

    def hear(self, loud):
        now = now_ms()
        if not self.hears:
            if not loud():
                return
            self.best = self.best_before = now
            self.first_ms = now
            self.hears = True
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
        """Frames that the client made up so far, by its statistics."""
        samples = 0
        for stats in await asyncio.wait_for(self.track.get_stats(), LIMIT):
            if stats.WhichOneof("stats") == "inbound_rtp":
                samples += stats.inbound_rtp.inbound.concealed_samples
        return samples / FRAME

    async def wait_until_heard(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.hears:
            if time.monotonic() > deadline:
                die(f"{self.name} {self.identity} hears nothing")
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
        """One thread of the application writes for all sessions, in the rhythm of a sound card."""
        self.pacing = threading.get_native_id()
        at, i = time.monotonic(), 0
        while True:
            for k, session in enumerate(self.sessions):
                if not session.on_air:
                    continue
                # Three frames ahead at first.
                for _ in range(3 if session.on_air == 1 else 1):
                    session.writer.write((i + k) % TONE_FRAMES)
                session.on_air = 2
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
            await session.wait_until_heard(LIMIT)
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
            await session.wait_until_heard(2 * LIMIT)
        await asyncio.sleep(CALM)  # the storm of joining calms down
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
        # One frame less is what the two ends of the time measured can do.
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
        """The pair of an odd session, in a process of its own."""
        a = self.arguments
        other = subprocess.Popen(
            [sys.executable, __file__, "talk", "--url", a.url, "--key", a.key, "--secret", a.secret,
             "--room", room, "--user", "other"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        if json.loads(other.stdout.readline() or b"{}").get("kind") != "ready":
            die("the other side is not ready")
        return other

    def python_share(self, before, after, took):
        """CPU of the threads that are Python's own, in % of a core."""

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
    """What this process uses, as tools/src/bench/procfs.rs reads it of another."""
    fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    status = pathlib.Path("/proc/self/status").read_text()
    threads, wait = {}, 0.0
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            of = (task / "stat").read_text().rpartition(")")[2].split()
            threads[int(task.name)] = (int(of[11]) + int(of[12])) / TICKS
            wait += int((task / "schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            continue  # it ended meanwhile, or the kernel does not count
    return {
        "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS,
        "rss_kb": int(status.split("VmRSS:")[1].split()[0]),
        "threads": threads,
        "wait_s": wait,
        "fds": len(os.listdir("/proc/self/fd")),
    }


def library_bytes():
    """Of the native library: as it is in the wheel, and stripped when that can be done here."""
    path = pathlib.Path(rtc.__file__).parent / "resources" / "liblivekit_ffi.so"
    stripped = None
    if shutil.which("strip"):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "stripped.so"
            if subprocess.run(["strip", "--strip-unneeded", "-o", out, path], check=False).returncode == 0:
                stripped = out.stat().st_size
    return path.stat().st_size, stripped


def parse():
    parser = argparse.ArgumentParser(description="the official client as a subject of the benchmark")
    parser.add_argument("mode", choices=("talk", "join", "sessions"))
    add_arguments(parser)
    parser.add_argument("--room", "--call", default="bench")
    parser.add_argument("--user", default="bench")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--sessions", "--n", type=int, default=1)
    parser.add_argument("--room-prefix", "--prefix", default="bench")
    parser.add_argument("--seconds", type=float, help="measure itself for so long")
    parser.add_argument("--two-connections", action="store_true", help="the older protocol: publisher and subscriber")
    parser.add_argument("--red", action="store_true", help="with redundancy, which is the client's own default")
    parser.add_argument("--bitrate", type=int, default=BITRATE, help="of Opus, bit/s")
    parser.add_argument("--plain", action="store_true", help="with the public classes only")
    arguments = parser.parse_args()
    arguments.url = checked_url(arguments.url)
    if not (arguments.key and arguments.secret):
        parser.error("--key and --secret: every session has a token of its own")
    if not (1 <= arguments.count and 1 <= arguments.sessions <= 10000):
        parser.error("a number is out of range")
    return arguments


async def main(arguments):
    worker = Worker(arguments)
    await {"talk": worker.talk, "join": worker.join, "sessions": worker.many}[arguments.mode]()
    worker.ending = True
    for session in worker.sessions:
        session.on_air = 0
    if leaving := [asyncio.create_task(s.room.disconnect()) for s in worker.sessions]:
        await asyncio.wait(leaving, timeout=LIMIT)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="livekit_worker: %(message)s")
    asyncio.run(main(parse()))
