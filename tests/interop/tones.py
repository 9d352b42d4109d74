"""Sine tones: generated, sent, and detected in received audio."""

import fractions
import math
import wave

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

RATE = 48000
FRAME = 960
WINDOW = RATE // 4
# A window below this RMS (of 1.0) is silence, whatever its spectrum.
SILENCE = 0.01


def sine(hz, start, count, level=0.3):
    """`count` samples of a tone from sample number `start` on, as floats."""
    return level * np.sin(2 * math.pi * hz * np.arange(start, start + count) / RATE)


def share(samples, hz):
    """The part of the energy of `samples` at `hz` (Goertzel, Hann window against leakage)."""
    if np.sqrt(np.mean(samples**2)) < SILENCE:
        return 0.0
    window = np.hanning(len(samples))
    turned = samples * window * np.exp(-2j * math.pi * hz * np.arange(len(samples)) / RATE)
    amplitude = 2 * abs(turned.sum()) / window.sum()
    return float(min(1.0, amplitude**2 / 2 / np.mean(samples**2)))


def tone_seconds(samples, hz):
    """Seconds in which the tone makes up nearly all of the audio."""
    windows = len(samples) // WINDOW
    return sum(share(samples[n * WINDOW : (n + 1) * WINDOW], hz) > 0.8 for n in range(windows)) * WINDOW / RATE


def read_wav(path):
    """One channel of floats at 48 kHz; several channels are averaged, other rates interpolated."""
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: not 16 bit")
        raw = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768
        mono = raw.reshape(-1, file.getnchannels()).mean(axis=1)
        rate = file.getframerate()
    if rate != RATE:
        mono = np.interp(np.arange(0, len(mono) * RATE // rate) * rate / RATE, np.arange(len(mono)), mono)
    return mono


def write_wav(path, hz, seconds):
    """A tone as mono WAV of 48 kHz, 16 bit."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sine(hz, 0, int(seconds * RATE)) * 32767).astype("<i2").tobytes())


class ToneTrack(MediaStreamTrack):
    """An audio track that plays a tone in real time until it is stopped."""

    kind = "audio"

    def __init__(self, hz, clock):
        super().__init__()
        self.hz = hz
        self.clock = clock
        self.sent = 0
        self.begin = None

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        if self.begin is None:
            self.begin = self.clock.time()
        await self.clock.until(self.begin + self.sent / RATE)
        samples = (sine(self.hz, self.sent, FRAME) * 32767).astype("<i2")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self.sent
        frame.time_base = fractions.Fraction(1, RATE)
        self.sent += FRAME
        return frame


def frame_samples(frame):
    """One channel of floats of a decoded frame (s16, interleaved, 48 kHz)."""
    channels = len(frame.layout.channels)
    return frame.to_ndarray().reshape(-1, channels).mean(axis=1) / 32768


def self_test():
    """Tests the detector first: tone, other tone, both, noise, silence."""
    noise = np.random.default_rng(1).normal(0, 0.1, RATE)
    assert tone_seconds(sine(620, 0, RATE), 620) == 1.0
    assert tone_seconds(sine(620, 0, RATE) + 0.1 * noise, 620) == 1.0
    assert tone_seconds(sine(1000, 0, RATE), 620) == 0.0
    assert tone_seconds(sine(1000, 0, RATE) + sine(620, 0, RATE), 620) == 0.0
    assert tone_seconds(noise, 620) == 0.0
    assert tone_seconds(np.zeros(RATE), 620) == 0.0
