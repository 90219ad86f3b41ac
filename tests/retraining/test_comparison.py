"""Champion against challenger: the figures are right, and only a proven gain promotes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from audio_pipeline import comparison
from audio_pipeline.comparison import MIN_ANOMALIES, MIN_NORMALS, Comparison, compare
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.detector.training import fit
from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.evaluation import ClipScores
from audio_pipeline.reference import Reference
from audio_pipeline.scoring import Scorer
from tests.detector.gaussian import Machine, encoder, join, recordings, reference

WIDTH = 16


def scored(seed: int, normals: int = 30, faults: int = 10, apart: float = 1.0) -> ClipScores:
    random = np.random.default_rng(seed)
    targets = np.array([False] * normals + [True] * faults)
    scores = np.round(random.normal(apart * targets, 1.0), 1)  # rounded: there are ties
    names = np.array([""] * len(targets))
    return ClipScores(targets, scores > 1, scores, names, names, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_metric_is_the_mean_of_auc_and_balanced_accuracy_of_the_clips_drawn(seed: int) -> None:
    clips = scored(seed)
    drawn = np.random.default_rng(seed).integers(0, 3, len(clips.targets))
    rows = np.repeat(np.arange(len(drawn)), drawn)
    told = comparison._metric(clips, np.stack([drawn, np.ones(len(drawn))]).astype(float))
    for value, chosen in zip(told, (rows, np.arange(len(drawn))), strict=True):
        auc = roc_auc_score(clips.targets[chosen], clips.scores[chosen])
        balanced = balanced_accuracy_score(clips.targets[chosen], clips.verdicts[chosen])
        assert value == pytest.approx((auc + balanced) / 2, abs=1e-12)


class _Encoder:
    def __init__(self, manifest: EncoderManifest) -> None:
        self.manifest = manifest


def scorer(data: Reference) -> Scorer:
    graph, manifest = fit(data, encoder(WIDTH, 2), false_alarm_rate=0.1)
    return Scorer(_Encoder(encoder(WIDTH, 2)), Classifier.from_bytes(graph, manifest), "m")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site() -> tuple[Scorer, Scorer, Reference]:
    """A model of one machine, one that knows the second machine too, and held-out clips of the second."""
    random = np.random.default_rng(0)
    one, two = Machine(1, WIDTH), Machine(2, WIDTH, centre=5)
    first = reference(one.draw(random, 60), "fan/a")
    second = reference(two.draw(random, 60), "fan/b")
    normals, faults = two.draw(random, 20), two.draw(random, 10) + np.float32(1.5)
    held_out = reference(
        np.concatenate([normals, faults]),
        "fan/b",
        targets=[False] * 20 + [True] * 10,
        groups=recordings(30, held_out=True, name="fan/b"),
    )
    return scorer(first), scorer(join(first, second)), held_out


def judge(site: tuple[Scorer, Scorer, Reference], rows: np.ndarray | None = None, swapped: bool = False) -> Comparison:
    champion, challenger, held_out = site
    held_out = held_out if rows is None else held_out.select(rows)
    return compare(challenger, champion, held_out) if swapped else compare(champion, challenger, held_out)


def test_a_better_challenger_is_better_and_a_worse_one_worse(site: tuple[Scorer, Scorer, Reference]) -> None:
    told = judge(site)
    assert told.better
    assert told.interval is not None
    assert told.interval[0] > 0
    assert told.difference == pytest.approx((told.challenger or 0) - (told.champion or 0))
    assert (told.normals, told.anomalies, told.clips) == (20, 10, 30)
    back = judge(site, swapped=True)
    assert not back.better
    assert "worse" in back.reason


def test_a_tie_keeps_the_champion(site: tuple[Scorer, Scorer, Reference]) -> None:
    champion, _, held_out = site
    told = compare(champion, champion, held_out)
    assert (told.difference, told.interval, told.better) == (0.0, (0.0, 0.0), False)
    assert "champion stays" in told.reason


@pytest.mark.parametrize(("normals", "faults"), [(0, 10), (20, 0), (MIN_NORMALS - 1, 10), (20, MIN_ANOMALIES - 1)])
def test_too_few_recordings_of_either_kind_decide_nothing(
    site: tuple[Scorer, Scorer, Reference], normals: int, faults: int
) -> None:
    rows = np.array([row < normals or 20 <= row < 20 + faults for row in range(30)])
    told = judge(site, rows)
    assert not told.better
    assert (told.champion, told.interval) == (None, None)
    assert f"{faults} of faults" in told.reason


def test_pieces_of_one_recording_are_one_recording(site: tuple[Scorer, Scorer, Reference]) -> None:
    champion, challenger, held_out = site
    groups = held_out.groups.copy()
    groups[20:] = groups[20]  # ten faulty clips, all of one recording
    from dataclasses import replace

    told = compare(champion, challenger, replace(held_out, groups=groups))
    assert (told.anomalies, told.better) == (1, False)
