"""A participant of a LiveKit room on the official client, controlled by lines: the counterpart in tests.

    peer.py --url ws://127.0.0.1:PORT (--token T | --key K --secret S --room R --identity I)
            [--two-connections] [--hz 440,620,...] [--deadline SECONDS]

It joins at once. It prints lines of JSON, one event each, with `event` (its kind) and `at` (ms of CLOCK_MONOTONIC,
which all processes of a machine share). It reads lines with a command and, for some commands, a JSON object. Commands
run one after another, each is answered with `done` or `failed`, which repeats its `id` when it has one; rpc is answered
with rpc_answer and does not delay other commands.

Events
  joined {sid, identity, room, ms}                   and one participant_joined for every participant present before
  participant_joined {identity, sid, name, metadata, attributes, already}
  participant_left {identity, sid, reason}
  track_published, track_unpublished {from, sid, name, source}
  track_subscribed, track_unsubscribed {from, sid, name, source}
  track_muted, track_unmuted {from, sid, own}        own: it is this peer's track
  active_speakers {speakers: [identity, ...]}        in the order of the server
  tone {from, sid, hz, share, rms}                   every 200 ms of audio received from one participant: the strongest
                                                     of --hz, and its share of the energy; hz is 0 in silence.
                                                     The lines follow the audio, so there are five in a second.
  data {from, topic, size, n, sha256, reliable, head}  n: number of the message when its contents are right (patterns.py), or
                                                     null; head: the first 16 bytes in hex; from: null as long as the
                                                     server has not reported the sender (up to 3 s without a track)
  text {from, topic, size, sha256, text, attributes} text: the first 200 characters; size in bytes of UTF-8
  rpc_request {from, method, payload, request_id, timeout_s}
  rpc_answer {id, to, method, payload, ms}           or with `error` {code, message, data} in place of `payload`
  metadata {from, metadata}, name {from, name}, attributes {from, changed}
  quality {from, quality}                            EXCELLENT, GOOD, POOR, LOST
  reconnecting, reconnected {}
  disconnected {reason}                              once; only the `done` of leave comes after it, and the process ends
  done {command, id, ms, ...}, failed {command, id, why}

Commands
  tone {"hz": 440, "name": "mic", "dtx": false, "red": false}
                      publishes a microphone with a sine of amplitude 0.3, 48 kHz, mono; done has its sid. While one is
                      published it only changes its frequency. dtx and red are the client's default when absent.
  mute, unmute, unpublish
  camera {}           publishes a camera: noise of 640 by 360 pixels, 15 frames a second; done has its sid
  data {"size": 15000, "count": 1, "topic": "", "reliable": true, "to": ["identity"], "n": 0}
                      numbered from n on, when absent from the last number on; done has first and sha256 of up to 20
  text {"text": "..." or "size": 100000, "topic": "", "to": [...], "attributes": {...}, "stream": false}
                      stream: in pieces of 4000 characters, without a total size
  rpc {"to": "identity", "method": "m", "payload": "p", "timeout_s": 10}
  rpc_serve {"method": "m", "delay_s": 0, "error": {"code": 1, "message": "no", "data": ""}}
                      answers with the payload reversed, or with the error when there is one
  metadata {"metadata": "..."}, name {"name": "..."}, attributes {"attributes": {"k": "v"}}
  simulate {"scenario": "SIGNAL_RECONNECT"}          or FULL_RECONNECT, NODE_FAILURE, ...; the client's names
  leave

The process exits within two seconds after the end of stdin, with 0; with 0 after leave; 3 when the room was lost, 4
when it could not join.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
import time

import patterns
from access import add_arguments, checked_url, room_options, token
from livekit import rtc
from tones import Goertzel, Tone, ToneDetector

LEAVE_TIMEOUT = 1.2  # seconds for leaving when stdin has ended
END = 1.8  # seconds for everything after that end, including the library's own shutdown
LOST, NOT_JOINED = 3, 4
AT_ONCE = ("rpc",)  # commands that do not wait for those before them
FRAME_MS = 20


def print_event(event, **fields):
    line = {"event": event, "at": round(time.monotonic() * 1e3, 1), **fields}
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def track_fields(publication, participant):
    return {
        "from": participant.identity,
        "sid": publication.sid,
        "name": publication.name,
        "source": rtc.TrackSource.Name(publication.source).removeprefix("SOURCE_"),
    }


class AnyTopic(dict):
    """Replaces the client's table of handlers, which drops texts of topics without a registered handler."""

    def __init__(self, handler):
        super().__init__()
        self.handler = handler

    def get(self, topic, default=None):
        return self.handler


class Peer:
    def __init__(self, arguments):
        self.arguments = arguments
        self.goertzel = Goertzel(arguments.hz)
        self.room = rtc.Room()
        self.room._text_stream_handlers = AnyTopic(self.text_began)
        self.tasks = set()
        self.streams = {}
        self.source = self.track = self.publication = self.tone = self.pump = None
        self.camera = self.camera_task = None
        self.next_n = 0
        self.ended = asyncio.Event()
        self.status = 0
        self.leaving = self.gone = False
        self.listen_to_events()

    def spawn(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # -- events --------------------------------------------------------------------------------

    def listen_to_events(self):
        on = self.room.on
        on("participant_connected", lambda p: self.print_joined(p, False))
        on("participant_disconnected", self.on_left)
        on("track_published", lambda pub, p: print_event("track_published", **track_fields(pub, p)))
        on("track_unpublished", lambda pub, p: print_event("track_unpublished", **track_fields(pub, p)))
        on("track_subscribed", self.on_subscribed)
        on("track_unsubscribed", self.on_unsubscribed)
        on("track_muted", lambda p, pub: self.print_muted("track_muted", p, pub))
        on("track_unmuted", lambda p, pub: self.print_muted("track_unmuted", p, pub))
        on("active_speakers_changed", lambda who: print_event("active_speakers", speakers=[p.identity for p in who]))
        on("data_received", self.on_data)
        on("participant_metadata_changed", lambda p, old, new: print_event("metadata", **{"from": p.identity, "metadata": new}))
        on("participant_name_changed", lambda p, old, new: print_event("name", **{"from": p.identity, "name": new}))
        on("participant_attributes_changed", lambda new, p: print_event(
            "attributes", **{"from": p.identity, "changed": dict(new)}))  # fmt: skip
        on("connection_quality_changed", lambda p, quality: print_event("quality", **{
            "from": p.identity, "quality": quality.name.removeprefix("QUALITY_")}))  # fmt: skip
        on("reconnecting", lambda: print_event("reconnecting"))
        on("reconnected", lambda: print_event("reconnected"))
        on("disconnected", self.on_disconnected)

    def print_joined(self, participant, already):
        print_event(
            "participant_joined", identity=participant.identity, sid=participant.sid, name=participant.name,
            metadata=participant.metadata, attributes=dict(participant.attributes), already=already,
        )  # fmt: skip

    def on_left(self, participant):
        reason = participant.disconnect_reason
        named = rtc.DisconnectReason.Name(reason) if reason is not None else None
        print_event("participant_left", identity=participant.identity, sid=participant.sid, reason=named)

    def print_muted(self, event, participant, publication):
        own = participant.identity == self.room.local_participant.identity
        print_event(event, **{"from": participant.identity, "sid": publication.sid, "own": own})

    def on_subscribed(self, track, publication, participant):
        print_event("track_subscribed", **track_fields(publication, participant))
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self.streams[track.sid] = self.spawn(self.receive_audio(track, participant.identity))

    def on_unsubscribed(self, track, publication, participant):
        print_event("track_unsubscribed", **track_fields(publication, participant))
        if receiving := self.streams.pop(track.sid, None):
            receiving.cancel()

    async def receive_audio(self, track, identity):
        def on_window(hz, share, rms):
            print_event("tone", **{"from": identity, "sid": track.sid}, hz=hz, share=round(share, 3), rms=round(rms, 4))

        detector = ToneDetector(self.goertzel, on_window)
        stream = rtc.AudioStream.from_track(track=track, sample_rate=48000, num_channels=1, frame_size_ms=FRAME_MS)
        try:
            async for event in stream:
                detector.add(event.frame.data)
        finally:
            await stream.aclose()

    def on_data(self, packet):
        payload = bytes(packet.data)
        print_event(
            "data", **{"from": packet.participant.identity if packet.participant else None},
            topic=packet.topic or "", size=len(payload), n=patterns.number_of(payload), sha256=patterns.sha256(payload),
            reliable=packet.kind == rtc.DataPacketKind.KIND_RELIABLE, head=payload[:16].hex(),
        )  # fmt: skip

    def text_began(self, reader, identity):
        self.spawn(self.read_text(reader, identity))

    async def read_text(self, reader, identity):
        whole = await reader.read_all()
        content = whole.encode()
        print_event(
            "text", **{"from": identity}, topic=reader.info.topic, size=len(content), sha256=patterns.sha256(content),
            text=whole[:200], attributes=dict(reader.info.attributes or {}),
        )  # fmt: skip

    def on_disconnected(self, reason):
        if self.gone:
            return
        self.gone = True
        print_event("disconnected", reason=rtc.DisconnectReason.Name(reason))
        if not self.leaving:
            self.status = LOST
            self.ended.set()

    # -- commands ------------------------------------------------------------------------------

    async def join(self):
        began = time.monotonic()
        a = self.arguments
        await self.room.connect(a.url, a.token, room_options(two_connections=a.two_connections, connect_timeout=a.deadline))
        me = self.room.local_participant
        print_event("joined", sid=me.sid, identity=me.identity, room=self.room.name, ms=since(began))
        for participant in self.room.remote_participants.values():
            self.print_joined(participant, True)

    async def carry_out(self, word, values):
        """Runs one command to its end."""
        began = time.monotonic()
        name = {"id": values["id"]} if "id" in values else {}
        command = getattr(self, f"do_{word}", None)
        try:
            if command is None:
                raise ValueError("no such command")
            more = await command(**{k: v for k, v in values.items() if k != "id"}) or {}
            print_event("done", command=word, **name, ms=since(began), **more)
            if word == "leave":
                self.ended.set()
        except Exception as e:
            print_event("failed", command=word, **name, why=f"{type(e).__name__}: {e}")

    async def do_tone(self, hz, name="mic", dtx=None, red=None):
        if self.publication is not None:
            self.tone.hz = hz
            return {"sid": self.publication.sid}
        self.source = rtc.AudioSource(48000, 1, queue_size_ms=200)
        self.track = rtc.LocalAudioTrack.create_audio_track(name, self.source)
        self.tone = Tone(hz)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        if dtx is not None:
            options.dtx = dtx
        if red is not None:
            options.red = red
        self.publication = await self.room.local_participant.publish_track(self.track, options)
        self.pump = self.spawn(self.play(self.source, self.tone))
        return {"sid": self.publication.sid}

    async def play(self, source, tone):
        """The source accepts only as much as its buffer holds, which keeps the pace."""
        samples = 48 * FRAME_MS
        while True:
            await source.capture_frame(rtc.AudioFrame(tone.frame(samples).tobytes(), 48000, 1, samples))

    async def do_camera(self):
        if self.camera is not None:
            raise ValueError("there is a camera")
        width, height = 640, 360
        self.camera = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track("camera", self.camera)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
        publication = await self.room.local_participant.publish_track(track, options)
        self.camera_task = self.spawn(self.film(self.camera, width, height))
        return {"sid": publication.sid}

    async def film(self, source, width, height):
        pictures = [os.urandom(width * height * 4) for _ in range(4)]
        count = 0
        while True:
            source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, pictures[count % 4]))
            count += 1
            await asyncio.sleep(1 / 15)

    async def do_mute(self):
        self.published_track().mute()

    async def do_unmute(self):
        self.published_track().unmute()

    def published_track(self):
        if self.publication is None:
            raise ValueError("there is no track")
        return self.track

    async def do_unpublish(self):
        self.published_track()
        sid = self.publication.sid
        self.pump.cancel()
        await self.room.local_participant.unpublish_track(sid)
        await self.source.aclose()
        self.source = self.track = self.publication = self.tone = self.pump = None
        return {"sid": sid}

    async def do_data(self, size, topic="", reliable=True, to=(), count=1, n=None):
        first = self.next_n if n is None else n
        sums = []
        for k in range(first, first + count):
            payload = patterns.data(size, k)
            await self.room.local_participant.publish_data(
                payload, reliable=reliable, topic=topic, destination_identities=list(to)
            )
            sums.append(patterns.sha256(payload))
        self.next_n = first + count
        return {"first": first, "count": count, "size": size, "sha256": sums[:20]}

    async def do_text(self, text=None, size=None, topic="", to=(), attributes=None, stream=False):
        if text is None:
            text = patterns.text(size, self.next_n)
            self.next_n += 1
        me, options = self.room.local_participant, {"topic": topic, "destination_identities": list(to)}
        if stream:
            writer = await me.stream_text(attributes=attributes, **options)
            for at in range(0, len(text), 4000):
                await writer.write(text[at : at + 4000])
            await writer.aclose()
        else:
            await me.send_text(text, attributes=attributes, **options)
        return {"size": len(text.encode()), "sha256": patterns.sha256(text.encode())}

    async def do_rpc(self, to, method, payload="", timeout_s=10, id=None):
        began = time.monotonic()
        answer = {"id": id, "to": to, "method": method}
        try:
            answer["payload"] = await self.room.local_participant.perform_rpc(
                destination_identity=to, method=method, payload=payload, response_timeout=timeout_s
            )
        except rtc.RpcError as e:
            answer["error"] = {"code": e.code, "message": e.message, "data": e.data}
        print_event("rpc_answer", **answer, ms=since(began))

    async def do_rpc_serve(self, method, delay_s=0, error=None):
        async def serve(request):
            print_event(
                "rpc_request", **{"from": request.caller_identity}, method=method, payload=request.payload,
                request_id=request.request_id, timeout_s=request.response_timeout,
            )  # fmt: skip
            await asyncio.sleep(delay_s)
            if error:
                raise rtc.RpcError(error["code"], error["message"], error.get("data"))
            return request.payload[::-1]

        self.room.local_participant.register_rpc_method(method, serve)

    async def do_metadata(self, metadata):
        await self.room.local_participant.set_metadata(metadata)

    async def do_name(self, name):
        await self.room.local_participant.set_name(name)

    async def do_attributes(self, attributes):
        await self.room.local_participant.set_attributes(attributes)

    async def do_simulate(self, scenario):
        await self.room.simulate_scenario(rtc.SimulateScenarioKind.Value(f"SIMULATE_{scenario}"))

    async def do_leave(self):
        """The client does not always report that it has left; then it is reported here."""
        self.leaving = True
        if self.camera_task:
            self.camera_task.cancel()
        if self.pump:
            self.pump.cancel()
            self.source.clear_queue()
        await self.room.disconnect()
        self.on_disconnected(rtc.DisconnectReason.CLIENT_INITIATED)


def since(began):
    return round((time.monotonic() - began) * 1e3, 1)


def read_lines(loop, queue):
    """Runs on a thread, because stdin may be anything; None is its end. A file object's lock would block the exit."""

    def put(line):
        try:
            loop.call_soon_threadsafe(queue.put_nowait, line)
        except RuntimeError:
            pass  # the loop has ended

    rest = b""
    while some := os.read(0, 65536):
        *lines, rest = (rest + some).split(b"\n")
        for line in lines:
            put(line)
    end_within(END, 0)
    put(None)


def end_within(seconds, status):
    """The native library sends a leave message during its shutdown; if that hangs, the process still exits."""
    watchdog = threading.Timer(seconds, os._exit, args=(status,))
    watchdog.daemon = True
    watchdog.start()


async def run_commands(peer, queue):
    """Runs the commands until the end of stdin."""
    while (line := await queue.get()) is not None:
        word, _, rest = line.decode().strip().partition(" ")
        if not word:
            continue
        try:
            values = json.loads(rest) if rest.strip() else {}
        except ValueError as e:
            print_event("failed", command=word, why=f"not JSON: {e}")
            continue
        if word in AT_ONCE:
            peer.spawn(answer_rpc(peer, values))
        else:
            await peer.carry_out(word, values)


async def answer_rpc(peer, values):
    try:
        await peer.do_rpc(**values)
    except Exception as e:
        print_event("failed", command="rpc", id=values.get("id"), why=f"{type(e).__name__}: {e}")


async def run(arguments):
    """Runs the peer; returns the exit status of the process."""
    queue = asyncio.Queue()
    threading.Thread(target=read_lines, args=(asyncio.get_running_loop(), queue), daemon=True).start()
    peer = Peer(arguments)
    lines = asyncio.create_task(run_commands(peer, Behind(queue, joined := asyncio.Event())))
    ended = asyncio.create_task(peer.ended.wait())
    try:
        join = asyncio.create_task(asyncio.wait_for(peer.join(), arguments.deadline))
        await asyncio.wait({join, lines}, return_when=asyncio.FIRST_COMPLETED)
        if not join.done():
            return 0
        join.result()
    except Exception as e:
        print_event("failed", command="join", why=f"{type(e).__name__}: {e or 'no answer in time'}")
        return NOT_JOINED
    joined.set()
    await asyncio.wait({lines, ended}, return_when=asyncio.FIRST_COMPLETED)
    if lines.done() and lines.exception():
        raise lines.exception()
    if not peer.ended.is_set():
        try:
            await asyncio.wait_for(peer.do_leave(), LEAVE_TIMEOUT)
        except asyncio.TimeoutError:
            print("peer: leaving took too long", file=sys.stderr)
    return peer.status


class Behind:
    """The queue of lines: commands wait until the room is joined; the end of stdin does not."""

    def __init__(self, queue, joined):
        self.queue, self.joined = queue, joined
        self.kept = []

    async def get(self):
        while not self.joined.is_set():
            line = asyncio.ensure_future(self.queue.get())
            opened = asyncio.ensure_future(self.joined.wait())
            done, _ = await asyncio.wait({line, opened}, return_when=asyncio.FIRST_COMPLETED)
            opened.cancel()
            if line not in done:
                line.cancel()
                break
            if line.result() is None:
                return None
            self.kept.append(line.result())
        return self.kept.pop(0) if self.kept else await self.queue.get()


def parse():
    parser = argparse.ArgumentParser(description="a participant on the official client, driven by lines")
    add_arguments(parser)
    parser.add_argument("--room")
    parser.add_argument("--identity")
    parser.add_argument("--two-connections", action="store_true", help="the older protocol: publisher and subscriber")
    parser.add_argument("--hz", default="440,550,620,700,880,1000,1100", help="frequencies to listen for")
    parser.add_argument("--deadline", type=float, default=15.0, help="seconds for joining")
    arguments = parser.parse_args()
    arguments.url = checked_url(arguments.url)
    arguments.hz = [int(hz) for hz in arguments.hz.split(",") if hz]
    if not arguments.token:
        if not (arguments.key and arguments.secret and arguments.room and arguments.identity):
            parser.error("--token, or --key, --secret, --room and --identity")
        arguments.token = token(arguments.key, arguments.secret, arguments.room, arguments.identity)
    return arguments


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="peer: %(message)s")
    status = asyncio.run(run(parse()))
    sys.stdout.flush()
    os._exit(status)  # a normal interpreter exit would call into the client's threads, which then sometimes abort
