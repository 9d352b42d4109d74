"""test_handlers.py: handlers that misbehave, and objects that are freed in an unusual order (rows of
tests/scenarios.md: free-in-callback, handler-throws, dropped, wrong-order, blocked-handler)."""

import asyncio
import gc
import threading
import weakref

import offhook
import pytest
from offhook import CallState, blocking
from support import (
    Record, Talker, blocking_client, client, ctl, deadline, descriptors, live, tone, unique, until, until_blocking,
)  # fmt: skip


@pytest.mark.parametrize("what", ["event", "audio"])
@deadline(25)
async def test_free_in_callback(what):
    """Row free-in-callback: the call and its client freed inside its own handler; no handler runs afterwards."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    after = []
    freed = asyncio.Event()

    def act(call, item):
        if freed.is_set():
            after.append(item)
        elif isinstance(item, (offhook.TrackPublished, offhook.AudioFrame)):
            call.free()
            call.free()
            b.free()
            freed.set()
            with pytest.raises(offhook.HandleError):
                call.leave_nowait()

    b = client(ben)
    async with client(ann) as a:
        speaks = await a.join(room)
        Talker(speaks, 440)
        handlers = {"on_event": act} if what == "event" else {"on_audio": act}
        call = await b.join(room, **handlers)
        await asyncio.wait_for(freed.wait(), 10)
        with pytest.raises(offhook.ClosedError, match="freed"):
            await call.ended()
        await until(lambda: not live(ben), "the SFU sees it go")
        assert after == [] and speaks.state == CallState.JOINED


@pytest.mark.parametrize("what", ["event", "audio"])
@deadline(25)
async def test_free_in_callback_of_a_thread(what):
    """Row free-in-callback, on the library's threads."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    after = []
    wrong = []
    freed = threading.Event()
    closing = blocking_client(ben)

    def act(call, item):
        if freed.is_set():
            after.append(item)
        elif isinstance(item, (offhook.TrackPublished, offhook.AudioFrame)):
            try:
                call.wait_state(CallState.LEFT, 1)
                wrong.append("a wait inside a handler")
            except offhook.WouldDeadlockError:
                pass
            call.close()
            call.free()
            closing.free()
            freed.set()

    async with client(ann) as a:
        Talker(await a.join(room), 440)
        closing.join_nowait(room, **({"on_event": act} if what == "event" else {"on_audio": act}))
        await until(freed.is_set, "the handler")
        await until(lambda: not live(ben), "the SFU sees it go")
        await until(lambda: not blocking._registered, "destroy")
        assert after == [] and wrong == []


@deadline(25)
async def test_handler_throws():
    """Row handler-throws: reported by loop.call_exception_handler; the call continues, and the next event arrives."""
    room, ann, ben, cid = unique("room"), unique("ann"), unique("ben"), unique("cid")
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    record = Record()

    def event(call, event):
        record.event(call, event)
        raise RuntimeError("event")

    async def audio(call, frame):
        record.audio(call, frame)
        await asyncio.sleep(0)
        raise RuntimeError("audio")

    async with client(ann) as a, client(ben) as b, client(cid) as c:
        Talker(await a.join(room), 440)
        call = await b.join(room, on_event=event, on_audio=audio)
        await until(lambda: len(record.frames) >= 5, "audio after a handler raised")
        await c.join(room)
        await record.wait(offhook.ParticipantJoined, user_id=cid)
        assert call.state == CallState.JOINED
        assert {str(t["exception"]) for t in reported} == {"event", "audio"} and {t["call"] for t in reported} == {call}
        assert len([t for t in reported if str(t["exception"]) == "event"]) == len(record.events)


@deadline(25)
async def test_handler_throws_in_a_thread(monkeypatch):
    """Row handler-throws, on the library's threads: reported by threading.excepthook."""
    room, ann, ben, cid = unique("room"), unique("ann"), unique("ben"), unique("cid")
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(str(args.exc_value)))
    record = Record()

    def event(call, event):
        record.event(call, event)
        raise RuntimeError("event")

    def audio(call, frame):
        record.audio(call, frame)
        raise SystemExit("audio")

    async with client(ann) as a, client(cid) as c:
        Talker(await a.join(room), 440)
        with blocking_client(ben) as b:
            call = b.join_nowait(room, on_event=event, on_audio=audio)
            await until(lambda: len(record.frames) >= 5, "audio after a handler raised")
            await c.join(room)
            await record.wait(offhook.ParticipantJoined, user_id=cid)
            assert call.state == CallState.JOINED
            await asyncio.to_thread(call.leave)
            assert set(reported) == {"event", "audio"} and reported.count("event") == len(record.events)


@deadline(25)
async def test_dropped():
    """Row dropped: client and call go out of scope without a close; the SFU detects it, and nothing is left."""
    names = [unique("ann"), unique("ben")]
    before = None

    async def use():
        a, b = client(names[0]), blocking_client(names[1])
        record = Record()
        calls = [
            await a.join(unique("room"), on_event=lambda call, event: record.event(call, event)),
            await asyncio.to_thread(b.join, unique("room"), on_event=lambda call, event: record.event(call, event)),
        ]
        iterator = calls[0].audio()
        calls[1].publish_audio()
        assert live(names[0]) and live(names[1])
        return [weakref.ref(o) for o in (a, b, *calls, iterator)]

    for _ in range(2):  # objects created once per process exist after the first time
        gone = await use()
        # A handler of the second call may be running on another thread, and keep references for that long.
        await until(lambda: gc.collect() >= 0 and [r() for r in gone] == [None] * 5, "all objects are collected")
        await until(lambda: not live(names[0]) and not live(names[1]), "both are gone at the SFU")
        await until(lambda: not blocking._registered, "destroy")
        if before is not None:
            await until(lambda: descriptors() <= before, f"descriptors as before: {before}")
        before = descriptors()


@deadline(20)
async def test_dropped_iterator():
    """Row dropped: leaving `async for` early, or cancelling a task, is harmless; the next one continues."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        async for event in call.events():
            break
        assert isinstance(event, offhook.StateChanged)
        rest = asyncio.create_task(call.audio().__anext__())
        await asyncio.sleep(0)
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
        call.leave_nowait()
        kinds = [type(e) async for e in call.events()]
        assert offhook.Joined in kinds and kinds[-1] is offhook.Ended
        assert [frame async for frame in call.audio()] == []


@deadline(20)
async def test_free_while_a_handler_is_awaited():
    """Row free-in-callback: the client is freed while a coroutine handler runs; queued events are not delivered."""
    go_on, begun, reported = asyncio.Event(), asyncio.Event(), []

    async def slow(call, event):
        reported.append(event)
        begun.set()
        await go_on.wait()

    c = client(unique("ann"))
    call = await c.join(unique("room"), on_event=slow)
    await begun.wait()
    c.free()
    go_on.set()
    with pytest.raises(offhook.ClosedError):
        await call.ended()
    await until(lambda: call._running is None, "the handler returns")
    assert len(reported) == 1


def _refused(*attempts):
    for attempt in attempts:
        with pytest.raises((offhook.HandleError, offhook.ClosedError)):
            attempt()


@deadline(20)
async def test_wrong_order():
    """Row wrong-order: client before its calls, track after its call, use of each afterwards: a clear error."""
    c = client(unique("ann"))
    call = await c.join(unique("room"))
    track, subscriber, publisher = call.publish_audio(), call.subscriber, call.publisher
    await c.close()
    _refused(
        lambda: call.state, call.stats, call.leave_nowait, call.publish_audio, lambda: call.subscriber,
        lambda: call.provide_token("x"), lambda: call.capabilities, lambda: call.send_custom_event({}),
        lambda: track.write_nowait(tone(440)), lambda: track.buffered_ms, lambda: track.set_muted(True),
        subscriber.close, publisher.close, lambda: c.join_nowait("x"),
    )  # fmt: skip
    with pytest.raises(offhook.HandleError):
        await track.write(tone(440))
    for one in (track, subscriber, publisher, call, c, call, track):
        one.free()
    assert (await call.ended()).reason == offhook.EndReason.LEFT  # events received before are kept
    assert [type(e) async for e in call.events()][-1] is offhook.Ended
    await call.close()


@deadline(20)
def test_wrong_order_in_threads():
    """Row wrong-order, without asyncio; and a wait in progress while the call is freed."""
    c = blocking_client(unique("ann"))
    call = c.join(unique("room"))
    track = call.publish_audio()
    waited = []

    def pull():
        try:
            for event in call.events():
                waited.append(event)
        except (offhook.ClosedError, offhook.HandleError) as error:
            waited.append(error)

    puller = threading.Thread(target=pull)
    puller.start()
    until_blocking(lambda: waited, "a first event")
    c.free()
    puller.join(10)
    assert not puller.is_alive() and isinstance(waited[-1], offhook.Error)
    _refused(
        lambda: call.state, lambda: call.wait_state(CallState.LEFT, 1), lambda: call.wait_event(0), call.leave,
        lambda: track.write(tone(440)), lambda: track.wait_writable(1, 1), lambda: c.join("x"),
    )  # fmt: skip
    call.close()
    track.free()
    call.free()


@deadline(30)
async def test_blocked_handler():
    """Row blocked-handler: a handler that awaits for long; meanwhile another call joins, receives and leaves."""
    room, names = unique("room"), [unique(n) for n in ("ann", "ben", "slow")]
    go_on, returned = asyncio.Event(), []
    blocked = asyncio.Event()

    async def block(call, event):
        blocked.set()
        await go_on.wait()
        returned.append(event)

    record = Record()
    async with client(names[0]) as a, client(names[1]) as b, client(names[2]) as s:
        slow = await s.join(room, on_event=block, max_queued_events=16, max_queued_audio_frames=5)
        await blocked.wait()
        Talker(await a.join(room), 440)
        other = await b.join(room, on_event=record.event, on_audio=record.audio)
        await record.wait_tone(names[0], 440)
        await other.leave()
        assert returned == [] and slow.state == CallState.JOINED
        # Its own backlog is bounded, and dropped events are counted and reported.
        session = (await slow.joined()).session_id
        for n in range(60):
            await asyncio.to_thread(ctl, "pins", cid=f"default:{room}", sessions=[session] if n % 2 else [])
        await until(lambda: slow.events_dropped > 20 and slow.audio_frames_dropped > 10, "events and audio dropped")
        go_on.set()
        ended = await slow.leave()
        await until(lambda: ended in returned, "all that waited is delivered")
        reported = sum(e.total for e in returned if isinstance(e, offhook.Lost))
        assert reported == slow.events_dropped + slow.stats().events_dropped
        assert [e.state for e in returned if isinstance(e, offhook.StateChanged)][-1] == CallState.LEFT


def _packet(n, size=1000):
    return offhook.DataEvent(n, "ann", "s", "", bytes(size), False)


@deadline(10)
async def test_reliable_data_waits_beyond_the_queue():
    """Reliable data is dropped only beyond event_bytes, and reported with numbers."""
    backlog = offhook.aio.Backlog(
        4, asyncio.get_running_loop(), weigh=offhook.aio._weight, most=20_000, lost=offhook.aio._lost
    )
    for n in range(4):
        backlog.offer(offhook.Counts(n, 1, 0), essential=False)
    for n in range(30):
        backlog.offer(_packet(n), essential=False)
    backlog.offer(offhook.TextEvent(30, "ann", "s", "", "id", "x" * 20_000), essential=False)
    backlog.offer(offhook.Counts(31, 1, 0), essential=False)
    assert backlog.dropped == 15 + 1 + 1
    taken = []
    while backlog.queue:
        taken.append(backlog.take())
    assert [e.at_ms for e in taken if isinstance(e, offhook.DataEvent)] == list(range(15)) and backlog.weight == 0
    assert taken[-1] == offhook.Lost(31, 17, 15, 15_000, 1)


@deadline(25)
async def test_pump_waits_for_a_handler_that_is_behind():
    """A slow handler stops the reading from the library, until it has caught up, or waits itself."""
    room, ann = unique("room"), unique("ann")
    go_on, seen = asyncio.Event(), []

    async def slow(call, event):
        seen.append(event)
        if isinstance(event, offhook.DataEvent):
            await go_on.wait()

    async with client(ann) as c:
        call = await c.join(room, on_event=slow, max_queued_event_bytes=65536)
        for n in range(40):
            call._take(_packet(n))
        assert call._behind() and len(seen) > 0
        session = (await call.joined()).session_id
        await asyncio.to_thread(ctl, "pins", cid=f"default:{room}", sessions=[session])
        await until(lambda: call._pump.paused, "nothing more is taken")
        assert not any(isinstance(e, offhook.Pins) for e in seen)
        go_on.set()
        await until(lambda: any(isinstance(e, offhook.Pins) and e.pins for e in seen), "what was held back comes")
        assert sum(isinstance(e, offhook.DataEvent) for e in seen) == 40 and call.events_dropped == 0
        go_on.clear()
        for n in range(41):
            call._take(_packet(n))
        assert call._behind()
        ending = asyncio.ensure_future(call.leave())  # the handler does not delay a wait for the end
        await until(lambda: call._ended.done(), "the end was taken")
        go_on.set()
        assert (await ending).reason == offhook.EndReason.LEFT


@deadline(30)
def test_blocked_handler_in_a_thread():
    """Row blocked-handler, on the library's threads."""
    room, names = unique("room"), [unique(n) for n in ("ann", "ben", "slow")]
    go_on, inside, returned = threading.Event(), threading.Event(), []

    def block(call, event):
        inside.set()
        go_on.wait(25)
        returned.append(event)

    record = Record()
    with blocking_client(names[2]) as s, blocking_client(names[0]) as a, blocking_client(names[1]) as b:
        try:
            slow = s.join_nowait(room, on_event=block)
            assert inside.wait(10)
            track = a.join(room).publish_audio(no_dtx=True)
            other = b.join(room, on_audio=record.audio)
            samples = tone(440)

            def tone_arrives():
                track.write(samples[:9600], 5)
                return record.receives(names[0], 440)

            until_blocking(tone_arrives, "the tone")
            other.leave()
            assert other.state == CallState.LEFT and returned == []
            began = slow.state  # functions of the blocked call do not wait
            assert began in (CallState.JOINING, CallState.JOINED)
        finally:
            go_on.set()
        slow.leave()
        assert isinstance(returned[-1], offhook.Ended)
