"""What holds for every kind of machine and every fault: identity, recordings, spans, refusals."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_pipeline.errors import SettingsError
from audio_pipeline.synth import KINDS, Fault, Machine, Rendering, draw_machine, render
from audio_pipeline.synth.signals import rms

FAULTS = [(kind, fault) for kind in KINDS for fault in draw_machine(kind, np.random.default_rng(0)).faults]


@cache
def machine_of(kind: str, seed: int) -> Machine:
    return draw_machine(kind, np.random.default_rng(seed))


def record(machine: Machine, seconds: float = 2.0, fault: Fault | None = None, take: int = 1) -> Rendering:
    return render(machine, seconds, np.random.default_rng(take), fault)


@cache
def healthy_of(kind: str, seed: int) -> np.ndarray:
    return record(machine_of(kind, seed), 5.0).samples


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seeds_give_the_same_recording_and_other_seeds_another(kind: str) -> None:
    once, again = (record(draw_machine(kind, np.random.default_rng(4))).samples for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, record(machine_of(kind, 4), take=2).samples)
    assert not np.array_equal(once, record(machine_of(kind, 5)).samples)


@pytest.mark.parametrize("kind", KINDS)
def test_many_individuals_sound_finite_and_neither_silent_nor_overdriven(kind: str) -> None:
    for seed in range(25):
        machine = machine_of(kind, seed)
        samples = record(machine, 3.0).samples
        assert samples.dtype == np.float32
        assert samples.shape == (48_000,)
        assert np.isfinite(samples).all(), seed
        assert np.abs(samples).max() > 0.05, seed
        assert 0.002 < rms(samples) < 0.2, seed


@pytest.mark.parametrize("kind", KINDS)
def test_individuals_differ_more_than_recordings_of_one(kind: str) -> None:
    def shape(samples: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(samples)) ** 2
        return np.log([band.mean() for band in np.array_split(power, 40)])

    own, others = [], []
    for seed in range(8):
        machine = machine_of(kind, seed)
        first = shape(record(machine, 5.0, take=1).samples)
        own.append(np.abs(first - shape(record(machine, 5.0, take=2).samples)).mean())
        others.append(np.abs(first - shape(record(machine_of(kind, seed + 100), 5.0, take=2).samples)).mean())
    assert np.median(others) > 3 * np.median(own)


@pytest.mark.parametrize(("kind", "name"), FAULTS)
def test_a_fault_changes_more_the_worse_it_is(kind: str, name: str) -> None:
    changes = []
    for severity in (0.2, 0.5, 1.0):
        ratios = []
        for seed in range(5):
            healthy = healthy_of(kind, seed)
            faulty = record(machine_of(kind, seed), 5.0, Fault(name, severity)).samples
            assert np.isfinite(faulty).all()
            ratios.append(rms(faulty - healthy) / rms(healthy))
        changes.append(np.median(ratios))
    assert changes[0] < changes[1] < changes[2]
    assert changes[2] > 0.1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.sampled_from(FAULTS),
    seed=st.integers(0, 10_000),
    onset=st.floats(0, 1.4),
    duration=st.floats(0.05, 0.6),
)
def test_a_partial_fault_leaves_every_sample_outside_its_span_alone(
    which: tuple[str, str], seed: int, onset: float, duration: float
) -> None:
    kind, name = which
    machine = machine_of(kind, seed)
    healthy = record(machine, 2.0, take=seed)
    faulty = record(machine, 2.0, Fault(name, 0.8, onset, duration), take=seed)
    changed = np.flatnonzero(healthy.samples != faulty.samples) / 16_000
    if faulty.fault_span is None:
        assert changed.size == 0  # no stroke there to miss
        return
    assert faulty.fault_span == (onset, onset + duration)
    assert onset - 1e-4 <= changed.min() <= changed.max() <= onset + duration + 1e-4
    assert faulty.fault_band_hz is not None
    assert 0 <= faulty.fault_band_hz[0] < faulty.fault_band_hz[1] <= 8000


def test_a_fault_without_onset_or_duration_is_there_throughout_and_one_with_a_duration_alone_somewhere() -> None:
    machine = machine_of("pump", 0)
    assert record(machine, 2.0, Fault("leak", 0.5)).fault_span == (0.0, 2.0)
    assert record(machine, 2.0, Fault("leak", 0.5, onset_s=0.5)).fault_span == (0.5, 2.0)
    starts = set()
    for take in range(5):
        span = record(machine, 2.0, Fault("leak", 0.5, duration_s=0.4), take).fault_span
        assert span is not None
        assert span[1] - span[0] == pytest.approx(0.4)
        assert 0 <= span[0] < span[1] <= 2.0
        starts.add(span[0])
    assert len(starts) == 5


def test_the_faults_asked_for_are_there() -> None:
    asked = {
        "fan": {"imbalance", "blade_damage", "belt_slip", "bearing_wear", "obstruction"},
        "pump": {"cavitation", "leak", "clogging", "contamination"},
        "valve": {"weak_stroke", "missing_stroke", "scraping_stroke", "leak", "late_stroke"},
        "slider": {"rail_damage", "loose_belt", "dry_rail", "weak_stroke"},
        "bearing": {"outer_race", "inner_race", "ball", "cage", "lubrication"},
        "gearbox": {"broken_tooth", "wear", "eccentricity", "misalignment"},
    }
    for kind, faults in asked.items():
        assert faults <= set(machine_of(kind, 0).faults)


@pytest.mark.parametrize(
    ("fault", "seconds", "says"),
    [
        (Fault("leek", 0.5), 2.0, "choose one of cavitation, leak"),
        (Fault("leak", 0.0), 2.0, "above 0, up to 1"),
        (Fault("leak", 1.5), 2.0, "above 0, up to 1"),
        (Fault("leak", float("nan")), 2.0, "above 0, up to 1"),
        (Fault("leak", 0.5, onset_s=2.5), 2.0, "inside it"),
        (Fault("leak", 0.5, onset_s=1.5, duration_s=1.0), 2.0, "inside it"),
        (None, 0.01, "0.1 to 600 s"),
        (None, float("nan"), "0.1 to 600 s"),
    ],
)
def test_what_cannot_be_rendered_is_refused_with_what_can(fault: Fault | None, seconds: float, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        record(machine_of("pump", 0), seconds, fault)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="fan, pump, valve, slider, bearing, gearbox"):
        machine_of("cow", 0)
