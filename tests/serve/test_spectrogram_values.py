"""The picture's figures are librosa's, which would be compiled at its first use."""

from __future__ import annotations

import subprocess
import sys

import librosa
import numpy as np
import pytest

from serve.prediction.spectrogram import mel_decibels


@pytest.mark.parametrize(("length", "hop"), [(160_000, 256), (4_000, 256), (16_001, 300)])
def test_decibels_are_those_of_librosa(length: int, hop: int) -> None:
    time_s = np.arange(length) / 16_000
    noise = np.random.default_rng(length).standard_normal(length)
    samples = (0.1 * np.sin(2 * np.pi * 440 * time_s) + 0.01 * noise).astype(np.float32)
    power = librosa.feature.melspectrogram(y=samples, sr=16_000, n_fft=1024, hop_length=hop, n_mels=128)
    known = librosa.power_to_db(power, ref=np.max, top_db=80.0)
    assert mel_decibels(samples, hop).shape == known.shape
    np.testing.assert_allclose(mel_decibels(samples, hop), known, atol=0.01)


def test_silence_has_a_picture() -> None:
    assert np.all(mel_decibels(np.zeros(4_000, np.float32), 256) == 0)


def test_nothing_is_compiled() -> None:

    code = (
        "import numpy as np, sys; from serve.prediction.spectrogram import draw;"
        "draw(np.ones(16000, np.float32), 'a clip'); assert 'librosa.core.spectrum' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
