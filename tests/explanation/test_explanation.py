from __future__ import annotations

import json

import numpy as np
import pytest

from audio_pipeline.clip import decode, to_flac
from audio_pipeline.explanation import Explanation, KnownClips, explain
from audio_pipeline.explanation.bands import mel
from audio_pipeline.synth import Fault
from tests.explanation.site import Site, Sound, name

FAULTS = (
    ("pump", "cavitation"),
    ("pump", "leak"),
    ("pump", "clogging"),
    ("bearing", "outer_race"),
    ("bearing", "cage"),
    ("bearing", "lubrication"),
    ("gearbox", "wear"),
    ("gearbox", "broken_tooth"),
)


@pytest.fixture(scope="module")
def known(site: Site) -> KnownClips:
    return KnownClips.of(site.reference)


@pytest.fixture(scope="module")
def explained(site: Site, known: KnownClips) -> list[tuple[Sound, Explanation]]:
    """Faults of random onset, for 10 to 40 % of the clip."""
    rng = np.random.default_rng(3)
    found = []
    for number, (kind, fault) in enumerate(FAULTS):
        length = float(rng.uniform(1, 4))
        onset = float(rng.uniform(0, 10 - length))
        sound = site.record(kind, 100 + number, Fault(fault, 0.8, onset, length))
        assert site.scorer.score(sound.clip, name(kind)).anomaly, f"{kind} {fault} is not even found"
        found.append((sound, explain(site.scorer, sound.clip, name(kind), known)))
    return found


def overlap(marked: list[tuple[float, float]], truth: tuple[float, float], top: float) -> float:
    """Intersection over union."""
    grid = (np.arange(4000) + 0.5) * top / 4000
    one = np.any([(grid >= low) & (grid < high) for low, high in marked], axis=0) if marked else grid < 0
    two = (grid >= truth[0]) & (grid < truth[1])
    return float((one & two).sum() / (one | two).sum())


def test_the_suspicious_seconds_are_those_of_the_fault(explained: list[tuple[Sound, Explanation]]) -> None:
    hits, everything = [], []
    for sound, explanation in explained:
        span = sound.rendering.fault_span
        assert span is not None
        hits.append(overlap([(s.start_s, s.end_s) for s in explanation.seconds], span, 10))
        everything.append(overlap([(0, 10)], span, 10))
    assert np.median(everything) < 0.5, "marking everything must fail"
    assert np.median(hits) >= 0.5
    assert np.mean(np.array(hits) >= 0.5) >= 0.75


def test_the_strongest_band_lies_where_the_fault_sounds(explained: list[tuple[Sound, Explanation]]) -> None:
    hits, chance = [], []
    for sound, explanation in explained:
        band = sound.rendering.fault_band_hz
        assert band is not None
        assert explanation.bands
        low, high = mel(np.array(band))
        edges = mel(np.array([explanation.bands[0].low_hz, explanation.bands[0].high_hz]))
        hits.append(low <= edges.mean() <= high)
        chance.append((high - low) / float(mel(np.array(8000.0))))
    assert np.mean(chance) < 0.6, "any band would do"
    assert np.mean(hits) >= 0.85


def test_frames_are_strong_inside_the_fault_and_weak_outside(explained: list[tuple[Sound, Explanation]]) -> None:
    apart = 0
    for sound, explanation in explained:
        span = sound.rendering.fault_span
        assert span is not None
        at = explanation.frame_start_s + np.arange(len(explanation.frame_strength)) * explanation.frame_hop_s
        inside = (at > span[0]) & (at < span[1])
        strength = explanation.frame_strength
        assert (strength >= 0).all()
        apart += strength[inside].mean() > 3 * strength[~inside].mean()
    assert apart >= 6


def test_a_fault_throughout_is_said_to_be_throughout_and_its_band_is_found(site: Site, known: KnownClips) -> None:
    sound = site.record("pump", 200, Fault("leak", 0.8))
    explanation = explain(site.scorer, sound.clip, name("pump"), known)
    assert explanation.throughout
    assert [(s.start_s, s.end_s) for s in explanation.seconds] == [(0, 10)]
    assert sound.rendering.fault_band_hz is not None
    low, high = sound.rendering.fault_band_hz
    top = explanation.bands[0]
    assert low <= (top.low_hz + top.high_hz) / 2 <= high
    assert top.direction == "more"
    # Nothing to compare with, neither in the clip nor in a reference: nothing is made up.
    assert explain(site.scorer, sound.clip, name("pump")).bands == ()


def test_a_clip_no_odder_than_a_usual_healthy_one_has_no_reasons(site: Site, known: KnownClips) -> None:
    clips = [site.record("bearing", seed).clip for seed in range(300, 306)]
    quiet = min(clips, key=lambda clip: site.scorer.score(clip, name("bearing")).score)
    explanation = explain(site.scorer, quiet, name("bearing"), known)
    assert explanation.score <= explanation.typical
    assert explanation.seconds == explanation.bands == ()
    assert not explanation.frame_strength.any()


def test_in_a_long_clip_the_seconds_are_those_of_the_clip(site: Site, known: KnownClips) -> None:
    parts = [site.record("bearing", 400).clip.samples, site.record("bearing", 401).clip.samples]
    ill = site.record("bearing", 402, Fault("cage", 0.8, 4.0, 2.0)).clip.samples
    clip = decode(to_flac(np.concatenate([*parts, ill])))
    explanation = explain(site.scorer, clip, name("bearing"), known)
    assert overlap([(s.start_s, s.end_s) for s in explanation.seconds], (24.0, 26.0), 30) >= 0.5
    assert explanation.window[0] == explanation.frame_start_s >= 15
    assert explanation.score == pytest.approx(site.scorer.score(clip, name("bearing")).score, rel=1e-5)


def test_the_nearest_clips_are_of_the_machine_and_never_the_clip_itself(site: Site, known: KnownClips) -> None:
    row = int(np.flatnonzero(site.reference.machines == name("pump"))[3])
    again = site.record("pump", 3).clip
    assert again.sha256 == site.reference.clips[row]
    nearest = explain(site.scorer, again, name("pump"), known).nearest
    assert len(nearest) == 5
    assert {clip.machine for clip in nearest} == {name("pump")}
    assert again.sha256 not in {clip.id for clip in nearest}
    distances = [clip.distance for clip in nearest]
    assert distances == sorted(distances)


def test_a_known_fault_is_shown_beside_healthy_clips(site: Site, known: KnownClips) -> None:
    first, second = (site.record("pump", seed, Fault("leak", 0.8)).clip for seed in (500, 501))
    vectors = site.scorer.score(first, name("pump")).vectors
    fault = KnownClips(
        vectors,
        np.array([True]),
        np.array([name("pump")]),
        np.array(["prediction"]),
        np.array(["a-prediction"]),
        np.array(["leak of last week"]),
    )
    nearest = explain(site.scorer, second, name("pump"), known.joined(fault)).nearest
    assert nearest[0].id == "a-prediction"
    assert (nearest[0].kind, nearest[0].target, nearest[0].title) == ("prediction", True, "leak of last week")
    healthy = explain(site.scorer, site.record("bearing", 502).clip, name("bearing"), known.joined(fault)).nearest
    assert [clip.target for clip in healthy] == [False, False, False, False, True]


def test_the_oddest_group_of_columns_scores_what_the_clip_scores(explained: list[tuple[Sound, Explanation]]) -> None:
    for _, explanation in explained:
        names = {group.name for group in explanation.groups}
        assert len(names) == len(explanation.groups) >= 1
        assert explanation.groups[0].score == pytest.approx(explanation.score, abs=0.3 * abs(explanation.score))


@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.0])
def test_short_clips_are_explained_too(site: Site, known: KnownClips, seconds: float) -> None:
    clip = decode(to_flac(site.record("pump", 600, Fault("leak", 1.0)).clip.samples[: round(seconds * 16000)]))
    explanation = explain(site.scorer, clip, name("pump"), known)
    for stretch in explanation.seconds:
        assert 0 <= stretch.start_s < stretch.end_s <= seconds + 1e-6


def test_it_can_be_told_as_json(explained: list[tuple[Sound, Explanation]]) -> None:
    told = json.loads(json.dumps(explained[0][1].to_json(), allow_nan=False))
    assert {"start_s", "end_s", "strength"} == set(told["seconds"][0])
    assert {"low_hz", "high_hz", "strength", "direction", "change_db"} == set(told["bands"][0])
