"""test_calls.py: calls with asyncio (rows of tests/scenarios.md: join, send-receive, mute, participants, leave,
leave-twice, trace, late-offers, reconnect, token, unsupported, hundred, network-options, diagnose)."""

import asyncio
import json
import time

import offhook
import pytest
from offhook import CallState
from support import Record, TOKEN, Talker, URL, client, ctl, deadline, live, sessions, threads, unique, until


@deadline(20)
async def test_join():
    """Row join: state, event with session and participants; a wrong URL fails with an error that names its code."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    async with client(ann) as a, client(ben) as b:
        first = await a.join(room)
        assert first.state == CallState.JOINED
        second = await b.join(room)
        seen = []
        async for event in second.events():
            seen.append(event)
            kinds = {type(e) for e in seen}
            if {offhook.Joined, offhook.ParticipantJoined} <= kinds:
                break
        states = [e.state for e in seen if isinstance(e, offhook.StateChanged)]
        assert states == [CallState.JOINING, CallState.JOINED]
        joined = next(e for e in seen if isinstance(e, offhook.Joined))
        assert joined.session_id and joined.participants == 2 and joined.kind_name == "joined"
        assert joined == await second.joined()
        assert ann in [e.user_id for e in seen if isinstance(e, offhook.ParticipantJoined)]
        assert second.stats().participants == 2 and second.stats().join_attempts == 1
        assert second.capabilities & offhook.Capability.CUSTOM_EVENTS

    # A port of this machine without a listener: bound, but not listening.
    import socket

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        wrong = offhook.Client(f"http://127.0.0.1:{nobody.getsockname()[1]}", user_id=ann, token=TOKEN)
        with pytest.raises(offhook.NetworkError, match="OH_ERR_NETWORK") as failed:
            await wrong.join(room, join_retries=0)
        assert failed.value.code == offhook.Result.NETWORK and isinstance(failed.value, ConnectionError)
        wrong.free()
    with pytest.raises(offhook.InsecureError):
        offhook.Client("http://sfu.example.com", user_id=ann)
    with pytest.raises(offhook.ArgumentError, match="url"):
        offhook.Client("nonsense", user_id=ann)
    with pytest.raises(TypeError, match="no_such_option"):
        offhook.Client("http://127.0.0.1:1", no_such_option=1)  # type: ignore[call-arg]


@deadline(20)
async def test_network_options():
    """Row network-options: wrong ones are refused by name and without a password; with right ones the call is joined."""
    wrong = (
        ("proxy", {"proxy": "ftp://user:5ecret@127.0.0.1"}), ("interfaces", {"interfaces": ["eth0", ""]}),
        ("ip_family", {"ip_family": 99}), ("media_port_max", {"media_port_min": 40000, "media_port_max": 40000}),
        ("media_port_min", {"media_port_min": -1, "media_port_max": 40000}), ("dscp", {"dscp": 64}),
    )  # fmt: skip
    for name, options in wrong:
        with pytest.raises(offhook.ArgumentError, match=name) as refused:
            client(unique("ann"), **options)
        assert "5ecret" not in str(refused.value)
    right = {
        "proxy": "none", "interfaces": ["lo", "!docker*"], "ip_family": offhook.IpFamily.V4, "media_port_min": 20000,
        "media_port_max": 29999, "dscp": 46,
    }  # fmt: skip
    async with client(unique("ann"), **right) as c:
        assert (await c.join(unique("room"))).state == CallState.JOINED


@deadline(40)
async def test_diagnose():
    """Row diagnose: all is well with the SFU; a closed port is one failed step; wrong options are refused by name."""
    token = "head5ecretHead.pay5ecretLoad.sig5ecretNature0123"
    who = {"user_id": unique("doctor"), "token": token}
    good = await offhook.diagnose(URL, call_id=unique("diagnosis"), **who)
    assert good.ok and '"publisher"' in good.report_json, good.text
    assert "5ecret" not in good.text + good.report_json and good.steps_failed == 0
    bad = await asyncio.to_thread(offhook.blocking.diagnose, "http://127.0.0.1:1")
    assert not bad.ok and bad.steps_failed == 1 and '"cause":"refused"' in bad.report_json, bad.text
    assert not bad.incomplete and bad.steps_warning >= 0
    turn = offhook.IceServer("turn:127.0.0.1:1", "user", "turn5ecret")
    assert "5ecret" not in repr(turn)
    wrong = (
        ("url", {"url": ""}), ("timeout_ms", {"timeout_ms": 1}), ("oh_ice_server.url", {"ice_servers": [offhook.IceServer("")]}),
        ("ice_server_count", {"ice_servers": [turn] * 17}), ("NUL", {"call_id": "a\0b"}), ("proxy", {"proxy": "ftp://x"}),
    )  # fmt: skip
    for name, options in wrong:
        with pytest.raises(offhook.ArgumentError, match=name):
            await offhook.diagnose(**{"url": "http://127.0.0.1:1", **options})


@deadline(20)
async def test_refused_join():
    """A refusal carries the server's own number; the join may be cancelled."""
    user = unique("ann")
    async with client(user) as c:
        ctl("refuse_join", http_status=403, code=17, message="not you", user_id=user, count=1)
        with pytest.raises(offhook.RefusedError, match="not you") as refused:
            await c.join(unique("room"), join_retries=0)
        assert refused.value.server_code == 17
        ctl("silent", stage="join_response", user_id=user, count=1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(c.join(unique("room")).__aenter__(), 0.2)
        await until(lambda: not live(user), "a cancelled join is gone")


@deadline(25)
async def test_send_receive():
    """Row send-receive: a tone of 440 Hz arrives with the sender's name, 10 times as loud as 1 kHz."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    async with client(ann) as a, client(ben) as b:
        speaks, receiver = await a.join(room), await b.join(room)
        Talker(speaks, 440)
        record = Record()

        async def listen():
            async for frame in receiver.audio():
                record.audio(receiver, frame)

        listening = asyncio.create_task(listen())
        await record.wait_tone(ann, 440)
        frame = record.frames[-1]
        assert frame.user_id == ann and frame.samples.shape == (960,) and frame.samples.dtype == "int16"
        assert (frame.sample_rate_hz, frame.channels, frame.frames) == (48000, 1, 960)
        assert frame.arrival_time_us > 0 or frame.concealed
        assert frame.format == offhook.AudioFormat.S16 and frame.source == offhook.TrackSource.MICROPHONE
        with pytest.raises(offhook.StateError, match="another task"):
            await receiver.audio().__anext__()
        await receiver.leave()
        await listening  # ends with the call


@deadline(25)
async def test_mute():
    """Row mute: the other receives both events, and receives no audio between."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    record = Record()
    async with client(ann) as a, client(ben) as b:
        speaks = await a.join(room)
        await b.join(room, on_event=record.event, on_audio=record.audio)
        talker = Talker(speaks, 440)
        await record.wait_tone(ann, 440)
        mark = len(record.events)
        talker.track.set_muted(True)
        gone = await record.wait(offhook.TrackUnpublished, mark, user_id=ann)
        assert gone.track.cause == offhook.UnpublishCause.MUTED
        assert gone.track.source == offhook.TrackSource.MICROPHONE

        # Audio in transit may still be played, for the maximum delay at most; then 300 ms without audio.
        def quiet_for_300_ms() -> bool:
            now = time.monotonic()
            loud = [f for f in record.frames if not f.silence and not f.concealed and f.level > 0.01]
            if loud:
                record.frames.clear()
                quiet[0] = now
            return now - quiet[0] > 0.3

        record.frames.clear()
        quiet = [time.monotonic()]
        await until(quiet_for_300_ms, "silence after the mute", 2)
        talker.track.set_muted(False)
        await record.wait(offhook.TrackPublished, mark, user_id=ann)
        await record.wait_tone(ann, 440)


@deadline(20)
async def test_participants():
    """Row participants: the others get joined and left with the third one's name."""
    room = unique("room")
    names = [unique(n) for n in ("ann", "ben", "cid")]
    records = [Record(), Record()]
    clients = [client(n) for n in names]
    for c, record in zip(clients, records):
        await c.join(room, on_event=record.event)
    third = await clients[2].join(room)
    for record in records:
        assert (await record.wait(offhook.ParticipantJoined, user_id=names[2])).session_id
    await third.leave()
    for record in records:
        await record.wait(offhook.ParticipantLeft, user_id=names[2])
    for c in clients:
        await c.close()


@deadline(30)
async def test_snapshot_and_several_tracks():
    """The snapshot has all participants with their tracks; two tracks of one call, and the statistics of each."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    sources = [offhook.TrackSource.MICROPHONE, offhook.TrackSource.SCREEN_SHARE_AUDIO]
    tones = [440, 880]
    record = Record()
    async with client(ann) as a, client(ben) as b:
        speaks = await a.join(room)
        talkers = [Talker(speaks, hz, source=source) for hz, source in zip(tones, sources)]
        listens = await b.join(room, on_event=record.event, on_audio=record.audio)
        for hz, source in zip(tones, sources):
            await record.wait_tone(ann, hz, source=source)

        own, other = speaks.participants()
        assert (own.user_id, own.local, other.user_id, other.local) == (ann, True, ben, False)
        assert own.session_id == (await speaks.joined()).session_id and other.tracks == ()
        assert {t.track for t in own.tracks} == {t.track.id for t in talkers}
        assert sorted(t.source for t in own.tracks) == sources and all(t.published for t in own.tracks)
        await until(lambda: [t.received for t in listens.participants()[1].tracks] == [True, True], "both are received")
        his = listens.participants()[1]
        assert his.user_id == ann and sorted(t.source for t in his.tracks) == sources
        for track in his.tracks:
            stats = listens.subscriber.track_stats(his.session_id, track.track_id or None, track.source)
            assert stats.packets_received > 10 and stats.frames_played > 5 and stats.source == track.source
        with pytest.raises(offhook.EmptyError):
            listens.subscriber.track_stats("nobody", source=sources[0])
        for talker, source in zip(talkers, sources):
            sent = talker.track.stats()
            assert sent.packets_sent > 10 and sent.sent_ms > 0 and sent.published and sent.source == source
        talkers[1].track.set_muted(True)
        await until(lambda: [t.muted for t in speaks.participants()[0].tracks if t.source == sources[1]] == [True], "muted")
        assert talkers[1].track.stats().muted and not talkers[0].track.stats().muted
        talkers[1].track.free()
        await until(lambda: len(speaks.participants()[0].tracks) == 1, "the freed track is not in the snapshot")
        await listens.leave()
        assert listens.participants() == ()


@deadline(20)
async def test_leave():
    """Row leave: returns at once; Ended is the last event and reports that the application left; within 2 s."""
    room, ann = unique("room"), unique("ann")
    record = Record()
    async with client(ann) as c:
        call = await c.join(room, on_event=record.event)
        began = time.monotonic()
        call.leave_nowait("has had enough")
        assert time.monotonic() - began < 0.2
        ended = await call.ended()
        assert time.monotonic() - began < 2
        assert ended.reason == offhook.EndReason.LEFT and ended.error == offhook.Result.OK
        assert record.events[-1] == ended and len(record.of(offhook.Ended)) == 1
        assert call.state == CallState.LEFT
        await until(lambda: sessions(ann)[0]["leave_received"], "the SFU received the leave")
        assert sessions(ann)[0]["leave_reason"] == "has had enough"
        with pytest.raises(offhook.StateError):
            call.publish_audio()
        again = await c.join(room)
        again.leave_nowait()
        assert isinstance([event async for event in again.events()][-1], offhook.Ended)


@deadline(20)
async def test_leave_twice():
    """Row leave-twice: leave and close, twice each, from two tasks."""
    room, ann = unique("room"), unique("ann")
    record = Record()
    c = client(ann)
    call = await c.join(room, on_event=record.event)
    both = await asyncio.gather(call.leave(), call.leave())
    assert both[0] == both[1] and both[0].reason == offhook.EndReason.LEFT
    await asyncio.gather(call.close(), call.close())
    await asyncio.gather(c.close(), c.close())
    call.free()
    c.free()
    assert len(record.of(offhook.Ended)) == 1 and not record.of(offhook.ErrorEvent)
    with pytest.raises(offhook.HandleError):
        await call.leave()


@deadline(20)
async def test_trace():
    """Row trace: while the call lasts, after its end, and after it was freed."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        first = call.trace()
        lines = [json.loads(line) for line in first.splitlines()]
        assert lines[0]["offhook_trace"] == 1 and any("in" in line for line in lines[1:])
        assert "SocketOpened" in first and '"Ended"' not in first and TOKEN not in first
        await call.leave()
        last = call.trace()
        assert len(last) > len(first) and '"Ended"' in last and TOKEN not in last
        call.free()
        with pytest.raises(offhook.HandleError):
            call.trace()


@deadline(40)
async def test_late_offers():
    """Row late-offers: 200 offers after the subscriber was closed, and at a leave; no other call is affected."""
    room, other = unique("room"), unique("other")
    names = [unique(n) for n in ("bot", "left", "right")]
    bot, left, right = Record(), Record(), Record()
    clients = [client(n) for n in names]
    calls = [
        await c.join(r, on_event=rec.event, on_audio=rec.audio)
        for c, r, rec in zip(clients, (other, room, room), (bot, left, right))
    ]
    Talker(calls[1], 440)
    Talker(calls[2], 1000)
    await asyncio.gather(left.wait_tone(names[2], 1000), right.wait_tone(names[1], 440))

    def undisturbed() -> None:
        for call, record in zip(calls, (bot, left, right)):
            assert not record.of(offhook.ErrorEvent) and not record.of(offhook.Reconnected)
            stats = call.stats()
            assert (stats.error_events, stats.offers_failed, stats.join_attempts) == (0, 0, 1)

    calls[0].subscriber.close()
    ctl("late_offer", user_id=names[0], count=200, wait=True)
    await until(lambda: calls[0].stats().late_offers >= 200, "200 late offers counted")
    assert calls[0].state == CallState.JOINED
    undisturbed()
    # As many more at the moment it leaves.
    ctl("late_offer", user_id=names[0], count=200, when="leave")
    ended = await calls[0].leave()
    assert ended.reason == offhook.EndReason.LEFT and ended.error == offhook.Result.OK
    await until(lambda: sessions(names[0])[0]["late_offers_sent"] >= 200, "the SFU wrote them")
    undisturbed()
    await asyncio.gather(left.wait_tone(names[2], 1000), right.wait_tone(names[1], 440))
    for c in clients:
        await c.close()


@deadline(30)
async def test_reconnect():
    """Row reconnect: the SFU drops the socket; states, the event with the kind of reconnect, and audio afterwards."""
    room, ann, ben = unique("room"), unique("ann"), unique("ben")
    first, second = Record(), Record()
    async with client(ann) as a, client(ben) as b:
        speaks = await a.join(room, on_event=first.event)
        receiver = await b.join(room, on_event=second.event, on_audio=second.audio)
        Talker(speaks, 440)
        await second.wait_tone(ann, 440)
        mark = len(first.events)
        ctl("drop_ws", user_id=ann)
        back = await first.wait(offhook.Reconnected, mark)
        assert back.reconnect_kind == offhook.ReconnectKind.FAST and back.attempts >= 1 and back.session_id
        states = [e.state for e in first.of(offhook.StateChanged, mark)]
        assert states == [CallState.RECONNECTING, CallState.JOINED]
        assert speaks.stats().reconnects_fast == 1
        await second.wait_tone(ann, 440)
        assert receiver.state == CallState.JOINED


@deadline(20)
async def test_token():
    """Row token: the first token has expired; another one is requested from the application, and accepted."""
    user = unique("ann")
    asked = []

    async def renew(call):
        asked.append(call)
        await asyncio.sleep(0)
        return "second"

    ctl("expire_tokens", user_id=user, count=1)
    async with client(user, token="first") as c:
        call = await c.join(unique("room"), renew_token=True, on_token=renew)
        assert call.state == CallState.JOINED and asked == [call]
    # Without a token callback, from the events; and without any token.
    async with client(unique("ben"), token=None) as c:
        call = c.join_nowait(unique("room"))
        async for event in call.events():
            if isinstance(event, offhook.TokenNeeded):
                call.provide_token("by-hand")
                break
        await call.joined()
        with pytest.raises(offhook.AuthError):
            await c.join(unique("room"), on_token=lambda call: None)


@deadline(20)
async def test_unsupported():
    """Row unsupported: a text in a call whose protocol has none; the error has the library's text."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        assert not call.capabilities & offhook.Capability.TEXT
        with pytest.raises(offhook.UnsupportedError) as error:
            call.send_text("hello", topic="chat", to=["ben"])
        assert "oh_call_send_text" in error.value.detail and "OH_ERR_UNSUPPORTED" in str(error.value)
        for attempt in (
            lambda: call.send_data(b"x", lossy=True),
            lambda: call.perform_rpc_nowait("ben", "method"),
            lambda: call.answer_rpc("1", "x"),
            lambda: call.set_attributes(name="x", attributes_json={"a": "b"}),
            lambda: call.subscriber.set_track("t", unsubscribe=True),
        ):
            with pytest.raises(offhook.UnsupportedError):
                attempt()
        with pytest.raises(offhook.UnsupportedError):
            await call.perform_rpc("ben", "method")


@deadline(20)
async def test_rpc_answers(monkeypatch):
    """rpc() waits for the response with its number. The development SFU has no RPC: the response is made here."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        numbers = iter(range(1, 9))
        monkeypatch.setattr(call, "perform_rpc_nowait", lambda *given, **more: next(numbers))
        asks = [asyncio.create_task(call.perform_rpc("ben", "sum", str(n))) for n in range(3)]
        await asyncio.sleep(0)
        call._take(offhook.RpcResponse(0, 2, "two", "", 0))
        call._take(offhook.RpcResponse(0, 1, "data", "no such thing", offhook.RpcErrorCode.UNSUPPORTED_METHOD))
        call._take(offhook.RpcResponse(0, 99, "whose?", "", 0))
        assert await asks[1] == "two"
        with pytest.raises(offhook.RpcError, match="no such thing") as failed:
            await asks[0]
        assert (failed.value.code, failed.value.data) == (1400, "data")
        await call.leave()
        with pytest.raises(offhook.CallCancelledError):  # the end of the call cancels what is left
            await asks[2]


@deadline(20)
async def test_custom_events():
    """A custom event goes to all clients that receive custom events, including the sender."""
    room, ann = unique("room"), unique("ann")
    record = Record()
    async with client(ann, receive_custom_events=True) as c:
        call = await c.join(room, on_event=record.event)
        call.send_custom_event({"type": "wave", "n": 1})
        event = await record.wait(offhook.CustomEvent)
        assert (event.user_id, event.custom_type) == (ann, "wave") and '"n":1' in event.data_json.replace(" ", "")
        with pytest.raises(offhook.ArgumentError):
            call.send_custom_event("[1]")


@deadline(90)
async def test_hundred():
    """Row hundred: 100 calls at once in rooms of ten; all join, all end, and none has its own thread."""
    rooms = [unique("room") for _ in range(10)]
    clients = [client(unique(f"u{i}")) for i in range(100)]
    calls = await asyncio.gather(*(c.join(rooms[i // 10]) for i, c in enumerate(clients)))
    assert {call.state for call in calls} == {CallState.JOINED}
    assert threads() < 40, f"{threads()} threads"
    ended = await asyncio.gather(*(call.leave() for call in calls))
    assert {e.reason for e in ended} == {offhook.EndReason.LEFT}
    for c in clients:
        await c.close()
