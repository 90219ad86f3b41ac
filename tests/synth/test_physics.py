"""Each fault changes what its physics says, more so when it is worse."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, find_peaks, hilbert, sosfiltfilt

from audio_pipeline.synth import Fault, Machine, draw_machine, render
from audio_pipeline.synth.bearings import Geometry

SECONDS = 6.0
RATE = 16_000


def steady(kind: str, seed: int = 0) -> Any:
    """A machine that turns at exactly its nominal speed, so that lines stay narrow."""
    return replace(draw_machine(kind, np.random.default_rng(seed)), jitter=1e-6, speed_spread=0.0)


def sound(machine: Machine, fault: str = "", severity: float = 0.0) -> np.ndarray:
    return render(machine, SECONDS, np.random.default_rng(3), Fault(fault, severity) if fault else None).samples


def spectrum(samples: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) / len(samples)


def line(power: np.ndarray, hertz: float, width_hz: float = 0.6) -> float:
    """Height of the highest line near a frequency over the level around it."""
    at, width = round(hertz * SECONDS), max(2, round(width_hz * SECONDS))
    around = power[max(1, at - 12 * width) : at + 12 * width]
    return float(power[max(1, at - width) : at + width + 1].max() / np.median(around))


def envelope(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Squared magnitude of the analytic signal in a band."""
    banded = sosfiltfilt(butter(4, [low, min(high, 7900.0)], "bandpass", fs=RATE, output="sos"), samples)
    return np.abs(hilbert(banded)) ** 2


def level(samples: np.ndarray, band: tuple[float, float]) -> float:
    power = spectrum(samples) ** 2
    return float(np.sqrt(power[int(band[0] * SECONDS) : int(band[1] * SECONDS) + 1].sum()))


def moments(samples: np.ndarray) -> np.ndarray:
    """Level of high frequencies every 5 ms."""
    high = np.diff(samples, prepend=0)[: len(samples) // 80 * 80].reshape(-1, 80)
    return np.sqrt(np.square(high, dtype=np.float64).mean(1))


def strokes(samples: np.ndarray, like: np.ndarray, share: float = 0.3) -> np.ndarray:
    """Seconds of the strokes that are heard: at least a share as loud as the loudest of another recording."""
    loud, other = (np.sqrt(np.convolve(s**2, np.ones(320) / 320, "same")) for s in (samples, like))
    return find_peaks(loud, height=share * other.max(), distance=int(0.2 * RATE))[0] / RATE


def rising(values: list[float], factor: float = 1.0) -> bool:
    return all(later > factor * earlier for earlier, later in pairwise(values))


def test_defect_frequencies_follow_from_the_bearing_s_geometry() -> None:
    # 6205 deep groove ball bearing, as the Case Western Reserve University bearing data centre states it.
    skf6205 = Geometry(elements=9, ratio=0.3126 / 1.537, angle=0.0)
    assert skf6205.outer == pytest.approx(3.5848, abs=0.003)
    assert skf6205.inner == pytest.approx(5.4152, abs=0.003)
    assert 2 * skf6205.ball == pytest.approx(4.7135, abs=0.003)
    assert skf6205.cage == pytest.approx(0.39828, abs=0.0005)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("fault", "order"), [("outer_race", "outer"), ("inner_race", "inner"), ("ball", "ball")])
def test_a_race_or_ball_defect_puts_its_frequency_into_the_envelope(fault: str, order: str, seed: int) -> None:
    bearing = replace(steady("bearing", seed), slip=0.002)
    hertz = bearing.shaft_hz * getattr(bearing.geometry, order) * (2 if fault == "ball" else 1)
    centre = float(bearing.housing[np.argmax(bearing.housing[:, 2]), 0])
    lines = [
        line(spectrum(envelope(sound(bearing, *ill), 0.8 * centre, 1.2 * centre)), hertz, 0.015 * hertz)
        for ill in [(), (fault, 0.5), (fault, 1.0)]
    ]
    assert lines[1] > 3 * lines[0]
    assert lines[2] > 0.9 * lines[1]  # once the impacts fill the band, the line cannot rise further over its floor


def test_an_inner_race_defect_is_modulated_by_the_shaft_and_an_outer_one_is_not() -> None:
    bearing = replace(steady("bearing"), slip=0.002)
    centre = float(bearing.housing[np.argmax(bearing.housing[:, 2]), 0])
    once = {
        fault: line(spectrum(envelope(sound(bearing, fault, 1.0), 0.8 * centre, 1.2 * centre)), bearing.shaft_hz)
        for fault in ("inner_race", "outer_race")
    }
    assert once["inner_race"] > 3 * once["outer_race"]


def test_a_broken_cage_swings_the_rolling_noise_at_the_cage_s_speed() -> None:
    for seed in range(3):
        bearing = steady("bearing", seed)
        hertz = bearing.shaft_hz * bearing.geometry.cage
        lines = [line(spectrum(envelope(sound(bearing, *ill), 3000, 7900)), hertz) for ill in [(), ("cage", 0.6)]]
        assert lines[1] > 1.5 * lines[0]


@pytest.mark.parametrize(("kind", "seed"), [("pump", 0), ("pump", 1), ("valve", 0), ("valve", 1)])
def test_a_leak_hisses_in_its_band_and_nowhere_else(kind: str, seed: int) -> None:
    machine = steady(kind, seed)
    band = render(machine, SECONDS, np.random.default_rng(3), Fault("leak", 1.0)).fault_band_hz
    assert band is not None
    assert band[0] > 700
    # Between a valve's strokes, of which a leak knows nothing.
    levels = [float(np.median(envelope(sound(machine, *ill), *band))) for ill in [(), ("leak", 0.5), ("leak", 1.0)]]
    assert rising(levels, 1.1)
    quiet = (20.0, band[0] / 6)
    assert level(sound(machine, "leak", 1.0), quiet) == pytest.approx(level(sound(machine), quiet), rel=0.05)


def single_stroke_valve() -> Any:
    for seed in range(200):
        valve = steady("valve", seed)
        if len(valve.offsets) == 1 and 0.4 < valve.period_s < 0.9 and valve.backdrop_level < 0.003:
            return valve
    raise AssertionError("no such valve among 200")


def test_missing_strokes_are_missing() -> None:
    valve = single_stroke_valve()
    healthy = sound(valve)
    counts = [len(strokes(healthy, healthy))]
    counts += [len(strokes(sound(valve, "missing_stroke", severity), healthy)) for severity in (0.2, 0.6, 1.0)]
    assert abs(counts[0] - SECONDS / valve.period_s) <= 1.5
    assert counts[0] > counts[1] > counts[2] > counts[3]
    assert counts[3] <= 0.4 * counts[0]


def test_weak_strokes_are_weaker() -> None:
    valve = single_stroke_valve()
    peaks = [np.abs(sound(valve, *ill)).max() for ill in [(), ("weak_stroke", 0.3), ("weak_stroke", 1.0)]]
    assert peaks[0] > 1.5 * peaks[1] > 1.5 * peaks[2]


def test_late_strokes_make_the_rhythm_uneven() -> None:
    valve = replace(single_stroke_valve(), timing_jitter=0.002)
    healthy = sound(valve)
    scatter = [
        float(np.std(np.diff(strokes(samples, healthy)))) for samples in (healthy, sound(valve, "late_stroke", 1.0))
    ]
    assert scatter[0] < 0.02
    assert scatter[1] > 2 * scatter[0]


def test_double_strokes_add_a_second_impact_after_the_first() -> None:
    valve = single_stroke_valve()
    healthy = sound(valve)
    difference = sound(valve, "double_stroke", 1.0) - healthy
    for at in strokes(healthy, healthy)[:-1]:
        assert np.abs(difference[int(at * RATE) : int(at * RATE) + 2400]).max() > 0.2 * np.abs(healthy).max()


def test_a_scraping_plunger_is_heard_before_its_strokes() -> None:
    valve = single_stroke_valve()
    healthy, before = sound(valve), []
    for ill in [(), ("scraping_stroke", 0.5), ("scraping_stroke", 1.0)]:
        samples = sound(valve, *ill)
        ends = (strokes(healthy, healthy)[1:-1] * RATE).astype(int)
        before.append(float(np.median([np.abs(samples[end - 800 : end - 400]).mean() for end in ends])))
    assert rising(before, 1.3)


def test_an_eccentric_gear_grows_sidebands_a_turn_away_from_its_mesh_tone() -> None:
    for seed in range(3):
        gearbox = steady("gearbox", seed)
        heights = []
        for ill in [(), ("eccentricity", 0.4), ("eccentricity", 1.0)]:
            power = spectrum(sound(gearbox, *ill))
            ratios = [
                max(
                    power[round((stage.mesh_hz + sign * hertz) * SECONDS) + np.arange(-2, 3)].max()
                    / power[round(stage.mesh_hz * SECONDS) + np.arange(-2, 3)].max()
                    for sign in (-1, 1)
                    for hertz in (stage.shaft_hz, stage.driven_hz)
                )
                for stage in gearbox.stages
                if stage.mesh_hz < 7000
            ]
            heights.append(ratios)
        assert any(rising([heights[k][s] for k in range(3)], 1.3) for s in range(len(heights[0])))


def test_a_broken_tooth_knocks_once_a_turn() -> None:
    gearbox = steady("gearbox", 4)
    lines = [
        max(line(spectrum(envelope(sound(gearbox, *ill), 300, 6000)), stage.shaft_hz) for stage in gearbox.stages)
        for ill in [(), ("broken_tooth", 0.5), ("broken_tooth", 1.0)]
    ]
    assert lines[1] > 1.5 * lines[0]
    assert lines[2] > lines[1]


def test_misalignment_raises_twice_the_mesh_and_twice_the_turn() -> None:
    for seed in range(3):
        gearbox = steady("gearbox", seed)
        gains = []
        for severity in (0.4, 1.0):
            difference = sound(gearbox, "misalignment", severity) - sound(gearbox)
            power = spectrum(difference)
            places = [2 * stage.mesh_hz for stage in gearbox.stages] + [2 * stage.shaft_hz for stage in gearbox.stages]
            gains.append(max(power[round(hertz * SECONDS) + np.arange(-3, 4)].max() for hertz in places))
        assert gains[0] > 0
        assert rising(gains, 2)


@pytest.mark.parametrize(("kind", "fault"), [("fan", "imbalance"), ("fan", "blade_damage"), ("propeller", "imbalance")])
def test_what_is_wrong_with_a_rotor_beats_once_a_turn(kind: str, fault: str) -> None:
    machine = steady(kind, 2)
    shafts = machine.shaft_hz if kind == "propeller" else (machine.shaft_hz,)
    lines = [
        max(line(spectrum(envelope(sound(machine, *ill), 150, 7000)), hertz, 1.0) for hertz in shafts)
        for ill in [(), (fault, 0.4), (fault, 1.0)]
    ]
    assert lines[1] > 1.2 * lines[0]
    assert lines[2] > 1.2 * lines[1]


def test_a_cut_blade_radiates_at_the_shaft_s_own_multiples() -> None:
    propeller = steady("propeller", 1)
    around = (0.85 * min(propeller.shaft_hz), 1.15 * max(propeller.shaft_hz))
    assert rising([level(sound(propeller, *ill), around) for ill in [(), ("cut_blade", 0.4), ("cut_blade", 1.0)]], 1.3)


def test_a_slipping_belt_squeals_in_few_narrow_lines() -> None:
    for seed in range(3):
        fan = steady("fan", seed)
        healthy = sound(fan)
        for samples, squealing in ((healthy, False), (sound(fan, "belt_slip", 1.0) - healthy, True)):
            frames = np.abs(np.fft.rfft(samples.reshape(-1, 800) * np.hanning(800), axis=1)[:, 25:]) ** 2
            loud = frames[frames.sum(1) > np.quantile(frames.sum(1), 0.7)]
            share = np.sort(loud, axis=1)[:, -12:].sum(1) / loud.sum(1)
            assert (np.median(share) > 0.8) == squealing


def test_cavitation_crackles() -> None:
    for seed in range(3):
        pump = steady("pump", seed)
        tops = [
            np.quantile(envelope(sound(pump, *ill), 2000, 7800), 0.999)
            for ill in [(), ("cavitation", 0.5), ("cavitation", 1.0)]
        ]
        assert rising([float(top) for top in tops], 1.2)


@pytest.mark.parametrize(
    ("kind", "fault", "band"),
    [
        ("fan", "obstruction", (50, 2000)),
        ("fan", "bearing_wear", (1500, 7000)),
        ("pump", "contamination", (600, 7900)),
        ("pump", "clogging", (60, 300)),
        ("bearing", "lubrication", (3000, 7900)),
        ("gearbox", "wear", (2500, 7900)),
        ("slider", "loose_belt", (50, 7900)),
    ],
)
def test_a_fault_that_makes_noise_makes_it_in_its_band(kind: str, fault: str, band: tuple[float, float]) -> None:
    gains = []
    for severity in (0.3, 0.6, 1.0):
        ratios = []
        for seed in range(5):
            machine = steady(kind, seed)
            ratios.append(level(sound(machine, fault, severity), band) / level(sound(machine), band))
        gains.append(float(np.median(ratios)))
    assert gains[0] > 1.01
    assert rising(gains, 1.05)


def test_a_dented_rail_ticks_whenever_the_carriage_passes() -> None:
    slider = steady("slider", 1)
    difference = sound(slider, "rail_damage", 1.0) - sound(slider)
    ticks = len(strokes(difference, difference, 0.2))
    passes = SECONDS / (sum(slider.phases_s) / 2)
    assert 0.6 * passes <= ticks <= 3.4 * passes + 2


def test_a_dry_rail_squeals_only_while_the_carriage_moves() -> None:
    for seed in range(60):
        slider = steady("slider", seed)
        if slider.phases_s[1] > 0.4 and slider.room.t60_s < 0.2:
            break
    difference = sound(slider, "dry_rail", 1.0) - sound(slider)
    loud = np.sqrt(np.convolve(difference**2, np.ones(800) / 800, "same"))
    resting = (slider.phases_s[1] + slider.phases_s[3]) / sum(slider.phases_s)
    assert np.quantile(loud, 0.5 * resting) < 0.02 * loud.max()


def test_a_slider_with_weak_strokes_is_quieter_and_knocks_less() -> None:
    for seed in range(3):
        slider = steady("slider", seed)
        for measure in (np.max, np.median):
            quieter = [float(measure(moments(sound(slider, *ill)))) for ill in [("weak_stroke", 1.0), ()]]
            assert quieter[0] < 0.8 * quieter[1]
