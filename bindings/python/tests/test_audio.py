"""test_audio.py: audio formats: int16 and float32, mono and stereo, bytes, Opus packets, and invalid audio."""

import asyncio

import numpy as np
import offhook
import pytest
from support import Record, Talker, client, deadline, tone, unique, until


@deadline(30)
async def test_forms():
    """Stereo float32 at 44100 Hz is received as stereo int16, as mono float32 at 16000 Hz, and as Opus packets."""
    room, names = unique("room"), [unique(n) for n in ("ann", "s16", "f32", "opus", "relay")]
    records = [Record() for _ in names]
    clients = [client(n) for n in names]
    speaks = await clients[0].join(room)
    track = speaks.publish_audio(sample_rate_hz=44100, channels=2, format=offhook.AudioFormat.F32, no_dtx=True, buffer_ms=1000)
    mono = tone(440, rate=44100, kind=np.float32)
    samples = np.stack([mono, mono], axis=1)

    async def write_audio() -> None:
        try:
            while True:
                await track.write(samples)
        except offhook.Error:
            pass

    writing = asyncio.create_task(write_audio())
    forms = [{}, {"audio_channels": 2}, {"audio_format": 1, "audio_sample_rate_hz": 16000}, {"audio_format": 2}]
    for c, record, form in list(zip(clients, records, forms))[1:]:
        await c.join(room, on_event=record.event, on_audio=record.audio, **form)
    await records[1].wait_tone(names[0], 440)
    await records[2].wait_tone(names[0], 440)
    await until(lambda: records[3].frames, "packets")
    s16, f32, opus = (r.frames[-1] for r in records[1:4])
    assert s16.samples.shape == (960, 2) and s16.samples.dtype == np.int16 and s16.channels == 2
    assert f32.samples.shape == (320,) and f32.samples.dtype == np.float32 and f32.sample_rate_hz == 16000
    assert opus.format == offhook.AudioFormat.OPUS and opus.opus_packet and opus.samples.size == 0 and opus.frames == 0
    s16.samples[0] = 1  # a copy

    # The packets are forwarded unchanged, and received as the same tone.
    other = unique("room")
    relay = await clients[4].join(other)
    passed = relay.publish_audio(format=offhook.AudioFormat.OPUS, buffer_ms=2000)
    listener = client(unique("listener"))
    received = Record()
    await listener.join(other, on_audio=received.audio)

    async def pass_on() -> None:
        while True:
            while records[3].frames:
                await passed.write_opus(records[3].frames.pop(0).opus_packet)
            await asyncio.sleep(0.01)

    passing = asyncio.create_task(pass_on())
    await received.wait_tone(names[4], 440)
    with pytest.raises(offhook.StateError):
        passed.write_nowait(tone(440)[:960])
    with pytest.raises(offhook.ArgumentError):
        passed.write_opus_nowait(b"\xff\xff\xff")
    for task in (passing, writing):
        task.cancel()
    for c in [*clients, listener]:
        await c.close()


@deadline(20)
async def test_writing():
    """FullError writes nothing; write() waits for room; drain() for the end; bytes are 16-bit samples."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        track = call.publish_audio(sample_rate_hz=16000, buffer_ms=100)
        with pytest.raises(offhook.FullError):
            track.write_nowait(np.zeros(16000, np.int16))
        assert track.buffered_ms == 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        await track.write(tone(440, seconds=1, rate=16000)[:8000].tobytes())
        await track.drain()
        assert 0.3 < loop.time() - began < 5 and track.buffered_ms == 0
        track.write_nowait(np.zeros(1600, np.int16))  # 100 ms
        cleared = track.clear()
        assert 0 < cleared.dropped_ms <= 100 and cleared.sent_ms >= 500 and track.buffered_ms == 0
        await track.write(np.zeros(320, np.float32))
        assert call.stats().packets_sent > 0
        track.free()
        with pytest.raises(offhook.HandleError):
            await track.write(np.zeros(320, np.int16))


@deadline(20)
async def test_refused_arrays():
    """Audio in a wrong format for the track is refused, with a text that names the expected format."""
    async with client(unique("ann")) as c:
        call = await c.join(unique("room"))
        track = call.publish_audio(channels=2)
        for wrong, words in (
            (np.zeros(960, np.int16), r"\(frames, 2\)"),
            (np.zeros((960, 1), np.int16), r"\(frames, 2\)"),
            (np.zeros((480, 2), np.float64), "float64"),
            (np.zeros((480, 2), np.int32), "int32"),
            (b"\0\0\0", "16-bit"),
            (b"\0\0\0\0\0\0", "whole frames"),
        ):
            with pytest.raises(offhook.ArgumentError, match=words):
                track.write_nowait(wrong)
        track.write_nowait(np.zeros((480, 4), np.int16)[:, ::2])  # not contiguous: copied
        with pytest.raises(offhook.ArgumentError):
            call.publish_audio(sample_rate_hz=1)
        with pytest.raises(offhook.ArgumentError, match="bitrate"):
            call.publish_audio(bitrate_bps=-1)
