"""growth.py URL NAME: two calls of a package built from another header than the library's; for test_growth.py.

In a newer header every structure has the members planted_number and planted_text at its end.
"""

import asyncio
import sys

import numpy as np
import offhook
from offhook import options
from offhook._native import ffi, last_error, lib, structure

URL, NAME = sys.argv[1:]
NEWER = "planted_number" in dict(ffi.typeof("oh_event").fields)
MORE = 16 if NEWER else 0


def refused(name, call, **members):
    """Options with a member that the library does not know give OH_ERR_ABI, and the text names the structure."""
    filled = options.Filled(name, {}, planted_number=1, **members)
    assert call(filled.pointer) == offhook.Result.ABI and f"{name} " in last_error(), (name, last_error())


async def main():
    lines, events = [], []
    offhook.set_log(lambda level, text: lines.append((level, text)), offhook.LogLevel.DEBUG)
    offhook.set_limits(max_callback_threads=64)
    assert offhook.create_access_token("key", "secret" * 8, "ann", "room").count(".") == 2
    async with offhook.Client(URL, user_id=NAME + "-a", token="t") as a, offhook.Client(URL, user_id=NAME + "-b", token="t") as b:
        first = await a.join(NAME)
        track = first.publish_audio(no_dtx=True)
        samples = (9000 * np.sin(np.arange(480000) * 2 * np.pi * 440 / 48000)).astype(np.int16)
        writing = asyncio.create_task(track.write(samples))
        second = await b.join(NAME, on_event=lambda call, event: events.append(event))
        count = 0
        async for frame in second.audio():
            count += not frame.silence
            if count > 10:
                break
        assert (frame.user_id, frame.samples.shape, frame.sample_rate_hz) == (NAME + "-a", (960,), 48000)
        own, other = first.participants()
        assert own.local and [t.track for t in own.tracks] == [track.id] and other.user_id == NAME + "-b"
        remote = second.participants()[1]
        received = second.subscriber.track_stats(remote.session_id, remote.tracks[0].track_id or None)
        assert track.stats().packets_sent > 0 and first.stats().participants == 2 and received.packets_received > 0
        kinds = {type(e) for e in events}
        assert {offhook.StateChanged, offhook.Joined, offhook.ParticipantJoined, offhook.TrackPublished} <= kinds, kinds
        assert all(e.user_id == NAME + "-a" for e in events if isinstance(e, (offhook.ParticipantJoined, offhook.TrackPublished)))
        raw = structure("oh_call_stats")
        assert lib.oh_call_get_stats(first._handle, raw) == 0 and raw.size == ffi.sizeof("oh_call_stats") - MORE
        if NEWER:
            out, length = ffi.new("uint64_t *"), ffi.new("size_t *")
            refused("oh_client_options", lambda o: lib.oh_client_new(o, ffi.cast("oh_client *", out)), url=URL)
            refused("oh_call_options", lambda o: lib.oh_call_join(a._handle, o, ffi.cast("oh_call *", out)), call_id=NAME)
            refused("oh_audio_track_options", lambda o: lib.oh_call_publish_audio(first._handle, o, ffi.cast("oh_track *", out)))
            refused("oh_data_options", lambda o: lib.oh_call_send_data(first._handle, o, ffi.NULL, 0))
            refused("oh_rpc_options", lambda o: lib.oh_call_perform_rpc(first._handle, o, out), to="b", method="m")
            refused("oh_limits", lib.oh_limits_set)
            subscriber = second.subscriber
            refused("oh_remote_track_options", lambda o: lib.oh_subscriber_set_track(subscriber._handle, b"t", o))
            refused("oh_access_token_options", lambda o: lib.oh_access_token_create(o, ffi.NULL, 0, length))
        writing.cancel()
        ended = await second.leave()
        assert ended.reason == offhook.EndReason.LEFT and events[-1] == ended
    offhook.set_log(None)
    assert lines and all(text for _, text in lines)
    print("newer" if NEWER else "kept", "ok")


asyncio.run(main())
