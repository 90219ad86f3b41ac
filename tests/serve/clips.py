"""Synthetic clips for the service's tests: a machine that hums, healthy or rattling, as a file of any length."""

from __future__ import annotations

import io

import numpy as np
import soundfile

NOWHERE = "http://127.0.0.1:9"  # nothing listens there: no test finds somebody's n8n
KEY = "a key of the tests, long enough"


def hum(seed: int, seconds: float = 1.0, rattle: float = 0.0, rate: int = 16_000) -> np.ndarray:
    """float32[n]: harmonics of 90 Hz in noise; `rattle` adds bursts as loud as stated."""
    random = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate)) / rate
    sound = sum(np.sin(2 * np.pi * 90 * k * time_s + random.uniform(0, 6)) / k for k in range(1, 8))
    sound = 0.05 * sound + 0.02 * random.standard_normal(len(time_s))
    bursts = (np.sin(2 * np.pi * 7 * time_s) > 0.95) * random.standard_normal(len(time_s))
    return np.asarray(sound + rattle * bursts, np.float32)


def encode(samples: np.ndarray, container: str = "WAV", rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=container, subtype="PCM_16")
    return out.getvalue()


def clip(seed: int = 0, seconds: float = 1.0, rattle: float = 0.0, container: str = "WAV") -> bytes:
    return encode(hum(seed, seconds, rattle), container)
