"""What each answer is good for."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from audio_pipeline.artifacts import find_encoder
from audio_pipeline.comparison import compare
from audio_pipeline.detector.classifier import Classifier
from audio_pipeline.encoder import Encoder
from audio_pipeline.reference import Reference, is_held_out, read_reference
from audio_pipeline.scoring import Scorer
from benchmarks.faults.retraining import Site
from serve.retraining import data
from serve.retraining.data import AnsweredClip, one_sided, sort_out
from serve.retraining.job import Retrain
from tests.detector.gaussian import ENCODER_SHA256, Machine, recordings, reference

WIDTH = 16
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def known(seed: int = 0, rows: int = 40) -> Reference:
    drawn = reference(Machine(1, WIDTH).draw(np.random.default_rng(seed), rows))
    held_out = recordings(5, held_out=True)
    return replace(drawn, groups=np.concatenate([drawn.groups[:-5], held_out]))


def clip(sha256: str, vector: np.ndarray, target: bool = False, **different: object) -> AnsweredClip:
    values: dict[str, object] = {
        "prediction_id": uuid.uuid4(), "created": NOW, "target": target, "machine": "fan/a", "clip_sha256": sha256,
        "path": "", "filename": "a.wav", "drawn": False, "predicted": not target, "encoder_sha256": ENCODER_SHA256,
        "deciding": 0, "starts_s": np.zeros(1), "ends_s": np.ones(1), "vectors": vector[None].astype(np.float32),
    }  # fmt: skip
    return AnsweredClip(**{**values, **different})  # type: ignore[arg-type]


def shas(held_out: bool, count: int) -> list[str]:
    names = (f"{number:064x}" for number in range(10_000, 20_000))
    return [name for name in names if is_held_out(f"{data.PREFIX}/{name}") == held_out][:count]


def far(seed: int = 5, count: int = 10) -> np.ndarray:
    """Sounds unlike the reference, and unlike each other."""
    return np.random.default_rng(seed).normal(8, 6, (count, WIDTH))


def test_answers_train_or_are_held_out_by_their_recording_and_false_alarms_do_not_calibrate() -> None:
    vectors = far()
    clips = [
        clip(shas(False, 3)[0], vectors[0], True),
        clip(shas(False, 3)[1], vectors[1]),
        clip(shas(False, 3)[2], vectors[2], drawn=True, predicted=False),
        clip(shas(True, 2)[0], vectors[3], True),
        clip(shas(True, 2)[1], vectors[4]),
    ]
    material = sort_out(known(), clips)
    assert [use.role for use in material.uses] == ["trained", "trained", "calibrated", "held_out", "held_out"]
    assert (len(material.rows), len(material.held_out)) == (43, 7)
    assert material.rows.calibrating[:40].all()
    assert material.rows.calibrating[40:].tolist() == [False, False, True]
    assert not material.rows.held_out[40:].any()
    assert material.held_out.held_out.all()


def test_an_alarm_that_was_drawn_does_not_calibrate_either() -> None:
    material = sort_out(known(), [clip(shas(False, 1)[0], far()[0], drawn=True, predicted=True)])
    assert material.uses[0].role == "trained"


def test_pieces_of_one_session_and_the_clips_of_the_reference_keep_their_groups() -> None:
    base = known()
    first, second = (clip(sha, far()[0], filename=f"flight_t{n}.wav") for n, sha in enumerate(shas(False, 2)))
    assert data.group_of(first, base) == data.group_of(second, base) == f"{data.PREFIX}/fan/a/flight"
    again = clip(str(base.clips[-1]), base.vectors[-1])
    assert data.group_of(again, base) == base.groups[-1]
    assert sort_out(base, [again]).uses[0].role == "held_out"


def test_contradictions_are_left_out_and_many_of_them_are_noise() -> None:
    base, vectors = known(), far(count=20)
    names = shas(False, 20)
    same_bytes = [clip(names[0], vectors[0], True), clip(names[0], vectors[0], False)]
    same_sound = [clip(names[1], vectors[1], True), clip(names[2], vectors[1] + 1e-4, False)]
    like_reference = [clip(names[3], base.vectors[0].astype(float), True)]
    other_label = [clip(str(base.clips[3]), base.vectors[3], True)]
    fine = [clip(name, vector) for name, vector in zip(names[4:14], vectors[4:14], strict=True)]
    material = sort_out(base, [*same_bytes, *same_sound, *like_reference, *other_label, *fine])
    assert [use.role for use in material.uses] == ["left_out"] * 6 + ["trained"] * 10
    assert (material.contradicting, material.noisy) == (6, True)
    assert not sort_out(base, [*same_bytes, *fine]).noisy


def test_the_last_answer_about_a_recording_is_used_once() -> None:
    name = shas(False, 1)[0]
    material = sort_out(known(), [clip(name, far()[0]), clip(name, far()[0])])
    assert [use.role for use in material.uses] == ["left_out", "trained"]


def test_a_flood_of_one_kind_is_cut_to_what_is_spread_over_it() -> None:
    vectors = far(count=400)
    flood = [clip(name, vector) for name, vector in zip(shas(False, 300), vectors[:300], strict=True)]
    compared = [clip(name, vector) for name, vector in zip(shas(True, 80), vectors[300:380], strict=True)]
    material = sort_out(known(), [*flood, *compared])
    used = sum(use.role == "trained" for use in material.uses)
    assert used == 105  # three for each of the 35 healthy windows that train
    assert len(material.held_out) == 5 + 50


def test_a_flood_is_one_whatever_the_false_alarm_rate_was_set_to_since(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    reference = read_reference(site.settings.data_dir)
    encoder = Encoder.load(find_encoder(site.settings.artifacts_dir, reference.encoder_sha256))
    with site.database.read() as session:
        faults = [clip for clip in data.answered_clips(session) if clip.target]
    material = sort_out(reference, faults)
    champion = site.promotion.set_false_alarm_rate(0.2, by="").version
    judge = Scorer(encoder, Classifier.load(site.store.load(champion).folder), champion)
    better = replace(compare(judge, judge, material.held_out), better=True)
    retrain = Retrain(site.settings, site.database, "")
    objection = retrain._objection(material, champion, site.champion, encoder, better, None)
    assert objection is not None
    assert "Nearly all new answers say 'an anomaly'" in objection
    site.database.close()


@pytest.mark.parametrize(("faults", "normals", "side"), [(30, 0, True), (0, 30, False), (15, 15, None), (19, 0, None)])
def test_many_new_answers_of_one_kind_are_noticed(faults: int, normals: int, side: bool | None) -> None:
    clips = [clip(f"{n:064x}", far()[0], n < faults) for n in range(faults + normals)]
    uses = [data.Use(each, "trained") for each in clips]
    assert one_sided(uses, None) is side
    assert one_sided(uses, NOW + timedelta(hours=1)) is None  # they are old news
