"""Factory noise, and mixing it at a stated ratio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_pipeline.errors import SettingsError
from audio_pipeline.synth import factory_noise, mix


def hall(seed: int, seconds: float = 2.0) -> np.ndarray:
    return factory_noise(seconds, np.random.default_rng(seed))


def ratio_db(signal: np.ndarray, noise: np.ndarray) -> float:
    power = [np.mean(np.square(part, dtype=np.float64)) for part in (signal, noise)]
    return float(10 * np.log10(power[0] / power[1]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), st.floats(0.05, 3))
def test_every_hall_is_finite_audible_and_as_long_as_asked(seed: int, seconds: float) -> None:
    samples = hall(seed, seconds)
    assert samples.dtype == np.float32
    assert samples.shape == (round(seconds * 16_000),)
    assert np.isfinite(samples).all()
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.1, rel=1e-3)


def test_the_same_seed_gives_the_same_hall_and_another_seed_another() -> None:
    assert np.array_equal(hall(1), hall(1))
    assert not np.array_equal(hall(1), hall(2))


def test_halls_differ_widely_in_colour() -> None:
    def low_share(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(power[: len(power) // 16].sum() / power.sum())

    shares = [low_share(hall(seed)) for seed in range(20)]
    assert max(shares) > 0.85
    assert min(shares) < 0.4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-40, 40), st.floats(1e-3, 1.0))
def test_the_ratio_of_a_mixture_is_the_one_asked_for(seed: int, snr_db: float, loudness: float) -> None:
    signal = (loudness * np.random.default_rng(seed).standard_normal(8000)).astype(np.float32)
    # In float64, so that the subtraction does not hide a weak part under the rounding of a strong one.
    mixed = mix(signal, hall(seed, 0.5), snr_db).astype(np.float64)
    assert ratio_db(signal, mixed - signal) == pytest.approx(snr_db, abs=0.01)


def test_with_a_usual_level_the_noise_does_not_grow_with_the_signal() -> None:
    signal, noise = hall(1, 0.5), hall(2, 0.5)
    soft = mix(signal, noise, 6.0, usual_rms=0.1) - signal
    loud = mix(10 * signal, noise, 6.0, usual_rms=0.1) - 10 * signal
    np.testing.assert_allclose(soft, loud, atol=1e-5)
    assert ratio_db(signal, soft) == pytest.approx(6.0, abs=0.01)


def test_what_cannot_be_mixed_is_refused() -> None:
    with pytest.raises(SettingsError, match="of one length"):
        mix(hall(1, 0.5), hall(1, 0.6), 0.0)
    with pytest.raises(SettingsError, match="silent"):
        mix(hall(1, 0.5), np.zeros(8000, np.float32), 0.0)
    with pytest.raises(SettingsError, match="positive length"):
        hall(1, 0.0)
