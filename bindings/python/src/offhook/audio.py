"""audio.py: sound as NumPy arrays, in both directions.

One channel is an array of shape (frames,), more are (frames, channels). The type is int16 or float32 (-1.0 to 1.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ._native import ffi, text
from .enums import AudioFormat, TrackKind
from .errors import ArgumentError

#: What a track takes: an array of int16 or float32, or the bytes of 16-bit samples (interleaved).
Samples = Union["npt.NDArray[np.int16]", "npt.NDArray[np.float32]", bytes, bytearray, memoryview]

_KINDS = {int(k): k for k in TrackKind}


@dataclass(eq=False)
class AudioFrame:
    """20 ms of one participant's sound, or one Opus packet (oh_audio). It is a copy and yours."""

    user_id: str
    session_id: str  #: names the participant; one user may be in a call more than once
    format: AudioFormat
    samples: npt.NDArray[Any]  #: int16 (S16) or float32 (F32, samples_f32 in C); empty for OPUS
    packet: bytes  #: the packet (packet_size bytes) for OPUS, else b""
    frames: int  #: samples per channel; 0 for OPUS
    rate: int  #: samples per second and channel
    channels: int
    timestamp: int  #: of the first sample, 48 kHz, wraps around at 2**32
    level: float  #: loudness, 0.0 (silence) to 1.0; 0 for OPUS
    kind: TrackKind
    concealed: bool  #: invented to hide a loss (of OPUS: packets before this one were lost)
    silence: bool  #: the sender sent nothing; the samples are zero
    track_id: str = ""  #: as in TrackEvent; "" in protocols without such names


_NOTHING: npt.NDArray[np.int16] = np.zeros(0, np.int16)
_NOTHING.flags.writeable = False


def frame_of(audio: Any) -> AudioFrame:
    """Copies an oh_audio."""
    frames = audio.frames
    channels = audio.channels
    packet = b""
    samples: npt.NDArray[Any]
    if audio.format == AudioFormat.S16:
        samples = np.empty(frames * channels, np.int16)
        ffi.memmove(samples, audio.samples, samples.nbytes)
    elif audio.format == AudioFormat.F32:
        samples = np.empty(frames * channels, np.float32)
        ffi.memmove(samples, audio.samples_f32, samples.nbytes)
    else:
        samples = _NOTHING
        packet = bytes(ffi.buffer(audio.packet, audio.packet_size))
    if channels > 1 and frames:
        samples = samples.reshape(frames, channels)
    return AudioFrame(
        user_id=text(audio.user_id),
        session_id=text(audio.session_id),
        format=_FORMATS.get(audio.format) or AudioFormat(audio.format),
        samples=samples,
        packet=packet,
        frames=frames,
        rate=audio.rate,
        channels=channels,
        timestamp=audio.timestamp,
        level=audio.level,
        kind=_KINDS.get(audio.kind) or TrackKind(audio.kind),
        concealed=audio.concealed != 0,
        silence=audio.silence != 0,
        track_id=text(audio.track_id),
    )


_FORMATS = {int(f): f for f in AudioFormat}


def flat(samples: Samples, channels: int) -> npt.NDArray[Any]:
    """What is to be written, checked: one dimension, interleaved, int16 or float32, in memory without gaps."""
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
    wanted = "(frames,) or (frames, 1)" if channels == 1 else f"(frames, {channels})"
    raise ArgumentError(f"an array of shape {wanted} is wanted, not {array.shape}")
