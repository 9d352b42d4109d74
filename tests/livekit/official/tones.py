"""Sine tones in the format of the official client, and tone detection in the audio it delivers."""

import numpy as np

RATE = 48000
FRAME = RATE // 100
WINDOW = RATE // 5
LEVEL = 0.3
# Below this RMS (of 1.0) a window is silence, whatever its spectrum.
SILENCE = 0.01


class Tone:
    """An endless sine, frame by frame; its frequency may change without a phase jump."""

    def __init__(self, hz, level=LEVEL):
        self.hz = hz
        self.level = level
        self.phase = 0.0

    def frame(self, samples=FRAME):
        """The next samples, 16 bit."""
        step = 2 * np.pi * self.hz / RATE
        values = np.sin(self.phase + step * np.arange(samples))
        self.phase = (self.phase + step * samples) % (2 * np.pi)
        return (values * (self.level * 32767)).astype("<i2")


class Goertzel:
    """The share of a window's energy at given frequencies (Hann window against leakage)."""

    def __init__(self, frequencies, samples=WINDOW):
        self.frequencies = list(frequencies)
        self.window = np.hanning(samples)
        turns = np.outer(self.frequencies, np.arange(samples)) / RATE
        self.rows = np.exp(-2j * np.pi * turns) * self.window

    def dominant(self, samples):
        """(hz, share of the energy, RMS); hz is 0 for silence and without frequencies to detect."""
        rms = float(np.sqrt(np.mean(samples**2)))
        if rms < SILENCE or not self.frequencies:
            return 0, 0.0, rms
        amplitudes = 2 * np.abs(self.rows @ samples) / self.window.sum()
        best = int(np.argmax(amplitudes))
        return self.frequencies[best], min(1.0, float(amplitudes[best] ** 2 / 2 / rms**2)), rms


class ToneDetector:
    """Cuts received audio into windows of 200 ms and passes each to `on_window(hz, share, rms)`."""

    def __init__(self, goertzel, on_window):
        self.goertzel = goertzel
        self.on_window = on_window
        self.rest = np.zeros(0)

    def add(self, samples):
        """16 bit samples, one channel, 48 kHz."""
        self.rest = np.concatenate([self.rest, np.asarray(samples, dtype="<i2") / 32768])
        while len(self.rest) >= WINDOW:
            window, self.rest = self.rest[:WINDOW], self.rest[WINDOW:]
            self.on_window(*self.goertzel.dominant(window))


def self_test():
    """Tests the detector: the tone, another tone, two at once, noise, silence."""
    judge = Goertzel([440, 620, 1000])
    tone, other = Tone(620).frame(WINDOW) / 32768, Tone(700).frame(WINDOW) / 32768
    noise = np.random.default_rng(1).normal(0, 0.1, WINDOW)
    assert judge.dominant(tone)[0] == 620 and judge.dominant(tone)[1] > 0.99
    assert judge.dominant(tone + 0.1 * noise)[1] > 0.95
    assert judge.dominant(other)[1] < 0.1
    assert judge.dominant(tone + other)[1] < 0.6
    assert judge.dominant(noise)[1] < 0.1
    assert judge.dominant(np.zeros(WINDOW)) == (0, 0.0, 0.0)
