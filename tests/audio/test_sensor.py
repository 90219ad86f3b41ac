"""The sensor check finds each defect at several strengths, and nothing in sound recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audio_pipeline.clip import SAMPLE_RATE, decode, read
from audio_pipeline.sensor import SensorProbe, SensorReport, check
from tests.broken_files import encode

REAL = Path(__file__).parents[3] / "shared" / "data"
SECONDS = 6
Signal = NDArray[np.float64]


def _time(rate: int = SAMPLE_RATE) -> Signal:
    return np.arange(SECONDS * rate) / rate


def noise(seed: int = 0, level: float = 0.05, rate: int = SAMPLE_RATE) -> Signal:
    return level * np.random.default_rng(seed).standard_normal(SECONDS * rate)


def fan() -> Signal:
    """Blades at 29.3 turns a second in rushing air."""
    return noise() + sum(0.05 / k * np.sin(2 * np.pi * 29.3 * k * _time() + k) for k in range(1, 12))


def valve() -> Signal:
    """Strikes out of near silence, a few steps of 16 bits."""
    since = _time() % 0.7
    return noise(1, 3e-5) + 0.6 * np.exp(-since * 60) * np.sin(2 * np.pi * 2300 * since)


def pump_with_gate() -> Signal:
    """A machine that starts and stops, with digital silence in between."""
    on = (_time() % 2.0) < 1.2
    fade = np.clip(np.minimum(_time() % 2.0, 1.2 - _time() % 2.0) * 50, 0, 1)
    return noise(2) * on * fade


def rumble() -> Signal:
    """Brown noise: falls by 6 dB an octave."""
    walk = np.cumsum(noise(3))
    walk -= np.convolve(walk, np.ones(1600) / 1600, mode="same")
    return 0.2 * walk / np.abs(walk).max()


def tone() -> Signal:
    return 0.8 * np.sin(2 * np.pi * 440.3 * _time()) + noise(4, 1e-4)


def quiet() -> Signal:
    return noise(5, 3e-4)


def full_scale() -> Signal:
    """Turned up until it just touches full scale."""
    return noise(6) / np.abs(noise(6)).max()


def motor_at_25_turns() -> Signal:
    """A four-pole motor on the mains: lines at 25 Hz and its multiples, every other one a mains harmonic."""
    return noise(7, 0.01) + sum(0.1 / k * np.sin(2 * np.pi * 25 * k * _time() + k * k) for k in range(1, 16))


SOUND: list[Callable[[], Signal]] = [fan, valve, pump_with_gate, rumble, tone, quiet, full_scale, motor_at_25_turns]


def judged(
    samples: Signal, rate: int = SAMPLE_RATE, subtype: str = "PCM_16", level: tuple[float, float] | None = None
) -> SensorReport:
    return check(decode(encode(samples, rate, "WAV", subtype)).sensor, level)


def codes(report: SensorReport) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize("make", SOUND, ids=lambda make: make.__name__)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_sound_recording_gives_no_finding(make, subtype):
    assert judged(make(), subtype=subtype) == SensorReport(ok=True, findings=())


@pytest.mark.parametrize("make", [fan, rumble, full_scale], ids=lambda make: make.__name__)
@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_other_rates_give_no_finding(make, rate):
    assert codes(judged(np.clip(soxr.resample(noise(8, 0.1, 96_000), 96_000, rate), -1, 1), rate)) == []
    # Sound recorded at 16 kHz and stored at a higher rate has all that is listened to.
    assert codes(judged(0.5 * soxr.resample(make(), SAMPLE_RATE, rate), rate)) == []


@pytest.mark.parametrize("container", [("OGG", "VORBIS"), ("MP3", None), ("WAV", "PCM_U8"), ("WAV", "ULAW")])
def test_lossy_and_coarse_formats_give_no_finding(container):
    assert codes(check(decode(encode(fan(), SAMPLE_RATE, *container)).sensor)) == []


@pytest.mark.parametrize("make", [fan, rumble, full_scale], ids=lambda make: make.__name__)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("ceiling", [1.0, 0.3])
def test_clipping_is_found_at_full_scale_and_below(make, share, ceiling):
    samples = make()
    top = np.quantile(np.abs(samples), 1 - share)
    report = judged(np.clip(samples, -top, top) / top * ceiling * 32767 / 32768)
    assert "clipping" in codes(report)
    if share >= 0.1:
        assert not report.ok


@pytest.mark.parametrize("overdrive_db", [1, 3, 10, 20])
def test_a_clipped_tone_is_found_and_worthless(overdrive_db):
    report = judged(np.clip(tone() / 0.8 * 10 ** (overdrive_db / 20), -1, 32767 / 32768))
    assert codes(report) == ["clipping"]
    assert not report.ok


def test_clipping_on_one_side_of_one_channel_is_found_and_named():
    second = np.minimum(fan(), np.quantile(fan(), 0.99))
    report = judged(np.stack([fan(), second, noise(9)], axis=1))
    assert codes(report) == ["clipping"]
    assert report.findings[0].message.startswith("Channel 2 clips")


@pytest.mark.parametrize("make", [fan, full_scale, tone], ids=lambda make: make.__name__)
@pytest.mark.parametrize("value", ["zero", "held"])
@pytest.mark.parametrize(("milliseconds", "count"), [(6, 1), (10, 5), (50, 20), (400, 1)])
def test_dropouts_are_found_and_counted(make, value, milliseconds, count):
    samples = make()
    length = milliseconds * SAMPLE_RATE // 1000
    for begin in np.linspace(2000, len(samples) - 2 * length - 100, count).astype(int):
        # A held value near the peak would be clipping's.
        at = begin + int(np.abs(samples[begin : begin + 200]).argmin())
        samples[at : at + length] = 0.0 if value == "zero" else samples[at]
    report = judged(samples)
    assert codes(report) == ["dropouts"]
    assert f"drops out {count} time" in report.findings[0].message
    assert report.ok == (milliseconds * count < 50 * SECONDS)


def test_a_channel_that_is_gone_for_long_weighs_more_than_one_with_many_short_gaps():
    short, long = fan(), fan()[::-1].copy()
    for begin in np.linspace(2000, 80_000, 5).astype(int):
        short[begin : begin + 160] = 0.0
    long[30_000:38_000] = 0.0
    report = judged(np.stack([short, long], axis=1))
    assert codes(report) == ["dropouts"]
    assert not report.ok


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 8000), min_size=1, max_size=30),
    holes=st.lists(st.tuples(st.integers(100, 30_000), st.integers(80, 20_000)), max_size=3),
)
def test_the_figures_do_not_depend_on_where_blocks_end(cuts, holes):
    samples = (np.random.default_rng(0).standard_normal((32_000, 1)) * 0.1).clip(-0.25, 0.2).astype(np.float32)
    for begin, length in holes:
        samples[begin : begin + length] = 0.0
    whole, pieces = SensorProbe(SAMPLE_RATE, 1), SensorProbe(SAMPLE_RATE, 1)
    whole.add(samples, samples[:, 0])
    begin = 0
    for cut in [*cuts, 32_000]:
        piece = samples[begin : begin + cut]
        pieces.add(piece, piece[:, 0])
        begin += len(piece)
    one, other = whole.evidence(), pieces.evidence()
    assert one.holes == other.holes
    assert one.holes_s == other.holes_s
    assert one.flat_share == other.flat_share
    assert one.cutoff_hz == other.cutoff_hz
    assert one.level_db == pytest.approx(other.level_db)


@pytest.mark.parametrize("stuck_at", [0.0, 0.2, 1.0])
def test_a_dead_or_stuck_channel_is_found_and_named(stuck_at):
    report = judged(np.stack([fan(), noise(9), np.full(len(fan()), stuck_at)], axis=1))
    assert "dead_channel" in codes(report)
    dead = next(finding for finding in report.findings if finding.code == "dead_channel")
    assert dead.message.startswith("Channel 3 is dead")
    assert not dead.fatal


def test_a_recording_that_is_stuck_altogether_is_worthless():
    report = judged(np.full(len(fan()), 0.25))
    assert "dead_channel" in codes(report)
    assert not report.ok


@pytest.mark.parametrize("offset", [-0.3, -0.05, 0.03, 0.1, 0.6])
def test_dc_offset_is_found(offset):
    report = judged(noise(1, 0.03) + offset)
    assert codes(report) == ["dc_offset"]
    assert f"{offset:+.2f}" in report.findings[0].message
    assert report.ok == (abs(offset) < 0.5)


@pytest.mark.parametrize("mains", [50, 60])
@pytest.mark.parametrize("strength", [3, 10, 30])
def test_mains_hum_is_found(mains, strength):
    hum = sum(np.sin(2 * np.pi * mains * k * _time() + k) / k for k in range(1, 9))
    report = judged(noise(3, 0.01) + 0.01 * strength * hum / np.std(hum))
    assert codes(report) == ["mains_hum"]
    assert f"{mains} Hz" in report.findings[0].message


def test_a_rotating_machine_is_no_hum():
    for turns in (24.4, 47.1, 49.0, 51.2, 58.8):
        lines = sum(0.1 / k * np.sin(2 * np.pi * turns * k * _time()) for k in range(1, 9))
        assert codes(judged(lines + noise(3, 0.01))) == []


@pytest.mark.parametrize("low", [4_000, 8_000, 11_025, 12_000])
@pytest.mark.parametrize("make", [fan, rumble], ids=lambda make: make.__name__)
def test_upsampled_sound_is_found(low, make):
    samples = soxr.resample(soxr.resample(make(), SAMPLE_RATE, low), low, SAMPLE_RATE)
    report = judged(samples)
    assert codes(report) == ["bandwidth"]
    said = float(report.findings[0].message.split("above ")[1].split(" kHz")[0]) * 1000
    assert said == pytest.approx(low / 2, rel=0.1)


def test_a_file_of_8_khz_has_no_upper_half():
    assert codes(judged(soxr.resample(fan(), SAMPLE_RATE, 8_000), 8_000)) == ["bandwidth"]


def test_an_mp3_low_pass_is_found():
    data = encode(noise(1, 0.1, 48_000), 48_000, "WAV", "PCM_16")
    low = soxr.resample(soxr.resample(decode(data).samples, SAMPLE_RATE, 11_000), 11_000, SAMPLE_RATE)
    assert codes(check(decode(encode(low, SAMPLE_RATE, "MP3")).sensor)) == ["bandwidth"]


@pytest.mark.parametrize(
    ("gain_db", "found", "ok"), [(0, False, True), (8, False, True), (-15, True, True), (-35, True, False)]
)
def test_a_level_far_from_the_reference_is_found(gain_db, found, ok):
    here = judged(fan())
    level = decode(encode(fan(), SAMPLE_RATE, "WAV", "FLOAT")).sensor.level_db
    assert codes(here) == []
    report = judged(fan() * 10 ** (gain_db / 20), subtype="FLOAT", level=(level - 1, level + 1))
    assert codes(report) == (["level"] if found else [])
    assert report.ok == ok


def test_a_quarter_of_a_second_can_be_judged():
    assert codes(judged(fan()[:4000])) == []
    assert codes(judged(np.clip(fan()[:4000] * 20, -0.9, 0.9))) == ["clipping"]


def _real(folder: str) -> list[Path]:
    return sorted((REAL / folder).rglob("*.flac"))[::4]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the real recordings in {REAL}")
@pytest.mark.parametrize("folder", ["mimii_fan_id00", "mimii_m6dB", "dcase2020_id00", "dcase_valve", "uav_propeller"])
def test_the_labelled_sets_have_sound_microphones(folder):
    found = {path.name: codes(check(read(path).sensor)) for path in _real(folder)}
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the real recordings in {REAL}")
@pytest.mark.parametrize("folder", ["mimii_fan_id00", "uav_propeller", "unlabelled/drone_ego"])
def test_real_clips_that_are_clipped_on_purpose_are_found(folder):
    for path in _real(folder)[:6]:
        samples, rate = soundfile.read(path)
        for share in (0.001, 0.02):
            top = np.quantile(np.abs(samples), 1 - share)
            assert "clipping" in codes(judged(np.clip(samples, -top, top), rate)), (path.name, share)
