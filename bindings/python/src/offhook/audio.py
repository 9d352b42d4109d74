"""audio.py: audio as NumPy arrays, in both directions.

One channel is an array of shape (frames,), more channels are (frames, channels). The type is int16, or float32 from -1.0
to 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ._native import ffi, known, text
from .enums import AudioFormat, TrackSource
from .errors import ArgumentError

#: What can be written to a track: an array of int16 or float32, or the bytes of 16-bit samples (interleaved).
Samples = Union["npt.NDArray[np.int16]", "npt.NDArray[np.float32]", bytes, bytearray, memoryview]

_SOURCES = {int(s): s for s in TrackSource}
_FORMATS = {int(f): f for f in AudioFormat}


@dataclass(eq=False)
class AudioFrame:
    """20 ms of one track's audio, or one Opus packet (oh_audio_frame). A copy: it stays valid, and may be changed."""

    user_id: str
    session_id: str  #: of the participant; one user can be in a call more than once
    track_id: str  #: as in TrackInfo; "" in protocols without track ids
    source: TrackSource  #: what the track carries
    format: AudioFormat
    samples: npt.NDArray[Any]  #: int16 (samples_s16 in C) or float32 (samples_f32); empty for OPUS
    opus_packet: bytes  #: for OPUS (opus_packet_size bytes); else b""
    frames: int  #: samples per channel, 20 ms; 0 for OPUS
    sample_rate_hz: int
    channels: int
    capture_time_us: int
    """When the first sample was captured: microseconds since 1970 by the sender's clock, which is the same for all
    tracks of a participant; 0: not known (yet). Clocks of different machines differ."""
    arrival_time_us: int
    """When the packet of the first sample arrived: microseconds since the join began, by the clock of this machine; 0: it
    was in no packet (concealed, silence)."""
    rtp_timestamp: int  #: of the first sample, 48 kHz; wraps around at 2**32
    level: float  #: audio level, 0.0 (silence) to 1.0; 0 for OPUS
    concealed: bool  #: synthesised by packet-loss concealment (OPUS: packets before this one were lost)
    silence: bool  #: the sender sent nothing (muted, or discontinuous transmission); the samples are zero


_NOTHING: npt.NDArray[np.int16] = np.zeros(0, np.int16)
_NOTHING.flags.writeable = False


def frame_of(raw: Any) -> AudioFrame:
    """Copies an oh_audio_frame."""
    frame = known(raw)
    frames = frame.frames
    channels = frame.channels
    packet = b""
    samples: npt.NDArray[Any] = _NOTHING
    if frame.samples_s16:
        samples = np.empty(frames * channels, np.int16)
        ffi.memmove(samples, frame.samples_s16, samples.nbytes)
    elif frame.samples_f32:
        samples = np.empty(frames * channels, np.float32)
        ffi.memmove(samples, frame.samples_f32, samples.nbytes)
    elif frame.opus_packet:
        packet = bytes(ffi.buffer(frame.opus_packet, frame.opus_packet_size))
    if channels > 1 and samples.size:
        samples = samples.reshape(frames, channels)
    return AudioFrame(
        user_id=text(frame.user_id),
        session_id=text(frame.session_id),
        track_id=text(frame.track_id),
        source=_SOURCES.get(frame.source) or TrackSource(frame.source),
        format=_FORMATS.get(frame.format) or AudioFormat(frame.format),
        samples=samples,
        opus_packet=packet,
        frames=frames,
        sample_rate_hz=frame.sample_rate_hz,
        channels=channels,
        capture_time_us=frame.capture_time_us,
        arrival_time_us=frame.arrival_time_us,
        rtp_timestamp=frame.rtp_timestamp,
        level=frame.level,
        concealed=frame.concealed != 0,
        silence=frame.silence != 0,
    )


def flat(samples: Samples, channels: int) -> npt.NDArray[Any]:
    """The samples to write, checked: one dimension, interleaved, int16 or float32, contiguous."""
    if isinstance(samples, (bytes, bytearray, memoryview)):
        try:
            return np.frombuffer(samples, np.int16)
        except ValueError as error:
            raise ArgumentError(f"bytes of 16-bit samples: {error}") from None
    array = np.asarray(samples)
    if array.dtype != np.int16 and array.dtype != np.float32:
        raise ArgumentError(f"samples are int16 or float32, not {array.dtype}")
    if array.ndim == 1 and channels == 1 or array.ndim == 2 and array.shape[1] == channels:
        return np.ascontiguousarray(array).reshape(-1)
    needed = "(frames,) or (frames, 1)" if channels == 1 else f"(frames, {channels})"
    raise ArgumentError(f"the array must have the shape {needed}, not {array.shape}")
