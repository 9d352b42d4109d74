"""test_blocking.py: calls without asyncio (row pull of tests/scenarios.md), and the use of any call by threads."""

import itertools
import threading

import numpy as np
import offhook
import pytest
from offhook import CallState
from support import Record, blocking_client, client, deadline, loudness, tone, unique


@deadline(25)
def test_pull():
    """Row pull: a call without handlers, read in a loop: joined, audio and ended, in that order."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    with blocking_client(ann) as a, blocking_client(ben) as b:
        speaks = a.join(room)
        track = speaks.publish_audio(no_dtx=True, sample_rate_hz=16000)
        pieces = itertools.cycle(np.split(tone(440, rate=16000), 50))
        piece = next(pieces)
        call = b.join_nowait(room, pull_audio=True, audio_format=offhook.AudioFormat.F32, audio_sample_rate_hz=16000)
        seen, left = [], False
        while not seen or not isinstance(seen[-1], offhook.Ended):
            if not left:
                try:
                    track.write_nowait(piece)
                    piece = next(pieces)
                except offhook.FullError:
                    pass
            try:
                event = call.wait_event(0.02)
            except offhook.EmptyError:
                continue
            seen.append(event)
            frames = [e.audio for e in seen if isinstance(e, offhook.AudioEvent) and not e.audio.silence]
            if len(frames) > 30 and not left:
                call.leave_nowait()
                left = True
        with pytest.raises(offhook.ClosedError):
            call.wait_event(0)
        kinds = [type(e) for e in seen]
        assert kinds.index(offhook.Joined) < kinds.index(offhook.AudioEvent) < kinds.index(offhook.Ended)
        assert frames[-1].user_id == ann and frames[-1].samples.dtype == "float32"
        tail = np.concatenate([f.samples for f in frames[-10:]])
        assert loudness(tail, 440, 16000) > 10 * loudness(tail, 1000, 16000)
        call.close()


@deadline(20)
def test_errors_of_pulling():
    """EmptyError in time, StateError for a call with handlers, TimedOutError of a wait."""
    with blocking_client(unique("ann"), token=None) as c:
        call = c.join_nowait(unique("room"))
        assert isinstance(call.wait_event(5), offhook.StateChanged)
        assert isinstance(call.wait_event(5), offhook.TokenNeeded)
        with pytest.raises(offhook.EmptyError):
            call.wait_event(0.15)
        with pytest.raises(TimeoutError) as late:
            call.wait_state(CallState.JOINED, 0.25)
        assert late.value.code == offhook.Result.TIMEOUT
        call.provide_token("token")
        call.wait_state(CallState.JOINED, 5)
        call.leave()
        with pytest.raises(offhook.CallCancelledError):
            call.wait_state(CallState.JOINED, 0)
        handled = c.join_nowait(unique("room"), on_event=lambda call, event: None, token="token")
        with pytest.raises(offhook.StateError):
            handled.wait_event(0)
        with pytest.raises(offhook.ArgumentError, match="join_retries"):
            c.join_nowait(unique("room"), join_retries=11)


@deadline(20)
def test_handlers_on_threads():
    """Handlers get events and audio in order, and the last is Ended; leave twice from two threads."""
    room, ann = unique("room"), unique("ann")
    record, where = Record(), set()

    def event(call, event):
        where.add(threading.get_ident())
        record.event(call, event)

    with blocking_client(ann) as c:
        call = c.join(room, on_event=event)
        errors = []

        def leave():
            try:
                call.leave()
            except offhook.Error as error:
                errors.append(error)

        both = [threading.Thread(target=leave) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join(10)
        assert errors == [] and threading.get_ident() not in where
        assert [type(e) for e in record.events][-1] is offhook.Ended
        call.close()
        call.close()


@deadline(20)
async def test_asyncio_call_from_a_thread():
    """Functions that do not wait may be called on an asyncio call from another thread."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        worker = threading.Thread(target=lambda: (call.stats(), call.publish_audio(), call.leave_nowait()))
        worker.start()
        assert (await call.ended()).reason == offhook.EndReason.LEFT
        worker.join(5)


@deadline(30)
def test_shutdown():
    """shutdown() ends every call of the process, and the library can be used again."""
    record = Record()
    c = blocking_client(unique("ann"))
    call = c.join(unique("room"), on_event=record.event)
    offhook.shutdown(5)
    assert record.events[-1].reason in (offhook.EndReason.SHUTDOWN, offhook.EndReason.LEFT)
    assert call.state == CallState.LEFT
    c.free()
    with blocking_client(unique("ben")) as again:
        assert again.join(unique("room")).state == CallState.JOINED
