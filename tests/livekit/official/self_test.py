"""Two peers of the official client in one room over the real server: a self-test of the test counterpart.

    self_test.py (--url U --key K --secret S | --stand PROGRAM [ARGUMENT...])

The stand prints one line of JSON with url, key and secret, and exits at the end of stdin. One peer has one peer
connection, the other two, so that both modes of the client are covered. Every step has a deadline; the time of each is
printed.
"""

import argparse
import asyncio
import json
import pathlib
import secrets
import sys
import time

import patterns
import tones

HERE = pathlib.Path(__file__).parent
HZ = {"ann": 440, "ben": 700}


class Peer:
    """A peer.py as a process."""

    def __init__(self, process, name):
        self.process, self.name = process, name
        self.events = []
        self.news = asyncio.Condition()
        self.reader = asyncio.create_task(self.read())
        self.numbers = iter(range(1, 1000))

    @classmethod
    async def start(cls, name, where, room, *more):
        process = await asyncio.create_subprocess_exec(
            sys.executable, HERE / "peer.py", "--url", where["url"], "--key", where["key"], "--secret", where["secret"],
            "--room", room, "--identity", name, *more, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return cls(process, name)

    async def read(self):
        async for line in self.process.stdout:
            async with self.news:
                self.events.append(json.loads(line))
                self.news.notify_all()
        async with self.news:
            self.news.notify_all()

    def command(self, word, **values):
        """Sends a command; returns its id."""
        number = next(self.numbers)
        self.process.stdin.write(f"{word} {json.dumps({**values, 'id': number})}\n".encode())
        return number

    async def do(self, word, limit=10, **values):
        """Sends a command and waits until it is done."""
        number = self.command(word, **values)
        answer = await self.event(lambda e: e.get("id") == number, limit, f"the end of {word}")
        assert answer["event"] in ("done", "rpc_answer"), answer
        return answer

    def mark(self):
        """The index of the next event."""
        return len(self.events)

    async def events_until(self, enough, limit, what, since=0):
        """The events from `since` on, as soon as `enough` accepts them."""

        async def wait():
            async with self.news:
                while not enough(self.events[since:]):
                    if self.reader.done():
                        raise AssertionError("the process has ended")
                    await self.news.wait()

        try:
            await asyncio.wait_for(wait(), limit)
        except (asyncio.TimeoutError, AssertionError) as e:
            last = "\n".join(map(str, self.events[-8:]))
            raise AssertionError(f"{self.name}: {what}: {e or f'not within {limit} s'}; the last events:\n{last}") from None
        return self.events[since:]

    async def event(self, matches, limit, what, since=0):
        """The first event that matches."""
        found = await self.events_until(lambda events: any(map(matches, events)), limit, what, since)
        return next(e for e in found if matches(e))

    async def receives_tone(self, hz, since, windows=5, limit=10):
        """That many windows in a row that are almost only this tone (0: silence)."""

        def clean(e):
            return e["hz"] == hz and (hz == 0 or e["share"] > 0.9)

        def enough(events):
            tone_events = [e for e in events if e["event"] == "tone"]
            return len(tone_events) >= windows and all(map(clean, tone_events[-windows:]))

        await self.events_until(enough, limit, f"{windows} windows of {hz} Hz", since)

    async def end(self, limit=5):
        """Closes its stdin; returns its exit status after its last line was read."""
        self.process.stdin.close()
        status = await asyncio.wait_for(self.process.wait(), limit)
        await asyncio.wait_for(self.reader, limit)
        return status


def kind(event, **fields):
    return lambda e: e["event"] == event and all(e.get(k) == v for k, v in fields.items())


async def steps(ann, ben):
    """The steps in order, each (what, coroutine)."""
    both = ((ann, ben), (ben, ann))

    async def join():
        for peer, other in both:
            await peer.event(kind("joined", identity=peer.name), 15, "joined")
        return ", ".join(f"{p.name} {p.events[0]['ms']} ms" for p, _ in both)

    async def tones_both_ways():
        for peer, _ in both:
            await peer.do("tone", hz=HZ[peer.name])
        for peer, other in both:
            await peer.event(kind("participant_joined", identity=other.name), 10, "the other joined")
            await peer.event(kind("track_subscribed", **{"from": other.name}), 10, "the other's track")
            await peer.receives_tone(HZ[other.name], 0)

    async def speakers():
        await ann.event(lambda e: e["event"] == "active_speakers" and set(e["speakers"]) == set(HZ), 10, "both speak")

    async def mute():
        since = ben.mark()
        await ann.do("mute")
        await ben.event(kind("track_muted", **{"from": "ann"}), 5, "muted", since)
        await ben.receives_tone(0, since)
        since = ben.mark()
        await ann.do("unmute")
        await ben.event(kind("track_unmuted", **{"from": "ann"}), 5, "unmuted", since)
        await ben.receives_tone(HZ["ann"], since)

    async def big_data():
        for peer, other in both:
            since = other.mark()
            sent = await peer.do("data", size=15000, topic="big", to=[other.name], n=70000)
            got = await other.event(kind("data", topic="big", n=70000), 5, "15 kB", since)
            assert got["sha256"] == sent["sha256"][0] and got["from"] == peer.name and got["reliable"], got

    async def small_data():
        since = ben.mark()
        took = (await ann.do("data", size=100, topic="small", count=500, n=0, limit=30))["ms"]
        whole = await ben.events_until(lambda es: sum(map(kind("data", topic="small"), es)) == 500, 10, "500 messages", since)
        assert [e["n"] for e in whole if kind("data", topic="small")(e)] == list(range(500))
        return f"sending took {took} ms"

    async def lossy_data():
        since = ben.mark()
        await ann.do("data", size=1000, topic="lossy", reliable=False, n=5)
        got = await ben.event(kind("data", topic="lossy", n=5), 5, "a lossy message", since)
        assert not got["reliable"], got

    async def texts():
        for stream in (False, True):
            since = ann.mark()
            sent = await ben.do("text", size=100_000, topic="story", to=["ann"], attributes={"k": "v"}, stream=stream)
            got = await ann.event(kind("text", topic="story"), 10, "100 kB of text", since)
            assert (got["sha256"], got["size"], got["from"]) == (sent["sha256"], sent["size"], "ben"), got
            assert got["attributes"] == {"k": "v"}, got
        since = ann.mark()
        await ben.do("text", text="short: é→", topic="")
        await ann.event(kind("text", topic="", text="short: é→"), 5, "a short text", since)

    async def calls():
        await ben.do("rpc_serve", method="turn")
        await ben.do("rpc_serve", method="refuse", error={"code": 77, "message": "no", "data": "because"})
        answer = await ann.do("rpc", to="ben", method="turn", payload="abcdé")
        assert answer["payload"] == "édcba", answer
        await ben.event(kind("rpc_request", **{"from": "ann"}, method="turn", payload="abcdé"), 5, "the request")
        refused = await ann.do("rpc", to="ben", method="refuse")
        assert refused["error"] == {"code": 77, "message": "no", "data": "because"}, refused
        unknown = await ann.do("rpc", to="ben", method="nothing")
        assert unknown["error"]["code"] == 1400, unknown
        return f"answer after {answer['ms']} ms"

    async def about():
        since = ben.mark()
        await ann.do("metadata", metadata="m1")
        await ben.event(kind("metadata", **{"from": "ann"}, metadata="m1"), 5, "metadata", since)
        await ann.do("attributes", attributes={"a": "1"})
        await ben.event(kind("attributes", **{"from": "ann"}, changed={"a": "1"}), 5, "attributes", since)
        await ann.do("name", name="Ann")
        await ben.event(kind("name", **{"from": "ann"}, name="Ann"), 5, "name", since)

    async def unpublish():
        since = ben.mark()
        await ann.do("unpublish")
        await ben.event(kind("track_unsubscribed", **{"from": "ann"}), 5, "no track", since)
        since = ben.mark()
        await ann.do("tone", hz=880)
        await ben.receives_tone(880, since)

    async def resume():
        since, ben_since = ann.mark(), ben.mark()
        ann.command("simulate", scenario="SIGNAL_RECONNECT")
        await ann.event(kind("reconnected"), 20, "reconnected", since)
        await ben.receives_tone(880, ben_since)
        gone = [e for e in ben.events[ben_since:] if e["event"] in ("participant_left", "track_unsubscribed")]
        assert not gone, gone

    async def leave():
        since = ben.mark()
        await ann.do("leave")
        await ben.event(kind("participant_left", identity="ann", reason="CLIENT_INITIATED"), 10, "the other left", since)
        assert await asyncio.wait_for(ann.process.wait(), 5) == 0

    async def stdin_ends():
        began = time.monotonic()
        assert await ben.end() == 0
        took = time.monotonic() - began
        assert took < 2, took
        assert kind("disconnected", reason="CLIENT_INITIATED")(ben.events[-1]), ben.events[-1]

    for step in (join, tones_both_ways, speakers, mute, big_data, small_data, lossy_data, texts, calls, about, unpublish,
                 resume, leave, stdin_ends):  # fmt: skip
        yield step.__name__.replace("_", " "), step


async def run(where):
    tones.self_test()
    assert patterns.number_of(patterns.data(15000, 7)) == 7 and patterns.number_of(b"nothing of ours") is None
    room = f"self-test-{secrets.token_hex(4)}"
    peers = [
        await Peer.start("ann", where, room),
        await Peer.start("ben", where, room, "--two-connections"),
    ]
    try:
        async for what, step in steps(*peers):
            began = time.monotonic()
            more = await step()
            print(f"ok {what}: {(time.monotonic() - began) * 1e3:.0f} ms{f'; {more}' if more else ''}", flush=True)
    finally:
        for peer in peers:
            if peer.process.returncode is None:
                peer.process.kill()
                await peer.process.wait()


async def main(arguments):
    if arguments.url:
        await run({"url": arguments.url, "key": arguments.key, "secret": arguments.secret})
        return
    stand = await asyncio.create_subprocess_exec(
        *arguments.stand, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        await run(json.loads(await asyncio.wait_for(stand.stdout.readline(), 20)))
    finally:
        stand.stdin.close()
        try:
            await asyncio.wait_for(stand.wait(), 10)
        except asyncio.TimeoutError:
            stand.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="two peers of the official client over the real server")
    parser.add_argument("--url")
    parser.add_argument("--key")
    parser.add_argument("--secret")
    parser.add_argument("--stand", nargs=argparse.REMAINDER, help="the last one: a program and its arguments")
    arguments = parser.parse_args()
    if bool(arguments.stand) == bool(arguments.url and arguments.key and arguments.secret):
        parser.error("either --url, --key and --secret, or --stand")
    asyncio.run(main(arguments))
