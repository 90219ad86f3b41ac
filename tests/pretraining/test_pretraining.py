"""Pretraining: batches follow from the seed, losses mean what they say, an interrupted run goes on unchanged."""

import contextlib
import zipfile

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train': pip install -c requirements.lock -e '.[train]'")
pytest.importorskip("transformers")

import soundfile as sf
import torch

from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import DatasetError
from audio_pipeline.pretraining import corpus
from audio_pipeline.pretraining.curves import draw_curves
from audio_pipeline.pretraining.loop import CHECKPOINT, LOG, Schedule, export_trained, pretrain, trained_encoder
from audio_pipeline.pretraining.losses import supervised_contrast
from audio_pipeline.pretraining.machines import any_machine, sound, with_fault
from audio_pipeline.pretraining.scenes import Recipe, SceneMaker

SMALL = Recipe(sites=2, machines=2, healthy=2, faulty=2, seconds=(1.0,), machine_pool=8)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A corpus of two factory recordings and two motors."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "corpus.zip", "w") as archive:
        for name, channels in (
            ("mimii_fan_id00/fan/id_00/normal/0.flac", 2),
            ("mimii_fan_id00/fan/id_00/normal/1.flac", 2),
            ("unlabelled/motor_propeller/a.flac", 1),
            ("unlabelled/motor_propeller/b.flac", 1),
        ):
            path = folder / "clip.flac"
            sf.write(path, 0.1 * rng.normal(size=(24_000, channels)), 16_000)
            archive.write(path, name)
    return folder / "corpus.zip"


def test_the_same_step_of_the_same_seed_is_the_same_batch(packed):
    loaded = corpus.load(packed)
    maker = SceneMaker(loaded, SMALL, seed=3)
    maker.batch(0)  # what was rendered before must not matter
    first, again = maker.batch(5), SceneMaker(loaded, SMALL, seed=3).batch(5)
    np.testing.assert_array_equal(first.audio, again.audio)
    np.testing.assert_array_equal(first.states, again.states)
    assert not np.array_equal(first.audio, SceneMaker(loaded, SMALL, seed=4).batch(5).audio)


def test_a_batch_holds_every_machine_healthy_and_faulty_at_unit_power(packed):
    scenes = SceneMaker(corpus.load(packed), SMALL, seed=0).batch(0)
    assert scenes.audio.shape == (SMALL.clips, 16_000)
    np.testing.assert_allclose((scenes.audio**2).mean(1), 1, rtol=1e-3)
    machines, states = scenes.states // 3, scenes.states % 3
    for site in range(SMALL.sites):
        here = scenes.sites == site
        assert len(np.unique(machines[here])) == SMALL.machines
        assert {0} < set(states[here])


def test_most_faults_of_machines_drawn_at_random_can_be_heard():
    changes = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        machine = any_machine(rng)
        faulty = with_fault(machine, rng)
        healthy, ill = (sound(m, 2.0, np.random.default_rng(seed)) for m in (machine, faulty))
        assert np.isfinite(healthy).all()
        assert np.isfinite(ill).all()
        changes.append(np.std(healthy - ill) / np.std(healthy))
    assert np.mean(np.array(changes) > 0.01) > 0.8


def test_contrast_falls_when_clips_of_one_state_come_together():
    states, sites = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.long)
    apart = torch.eye(4)
    together = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]])
    assert supervised_contrast(together, states, sites) < 0.01 < supervised_contrast(apart, states, sites)


def test_clips_of_other_sites_are_no_negatives():
    vectors = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    states = torch.tensor([0, 0, 1, 1])
    apart = supervised_contrast(vectors, states, torch.tensor([0, 0, 1, 1]))
    assert apart == pytest.approx(0.0, abs=1e-6)
    assert supervised_contrast(vectors, states, torch.zeros(4, dtype=torch.long)) > 1.0


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(packed, tmp_path):
    def train(out, steps_each):
        for steps in steps_each:
            stop_after = Steps(steps)
            with contextlib.suppress(Stopped):
                pretrain(packed, out, schedule=Schedule(steps=6), recipe=SMALL, workers=0, report=stop_after)
        return trained_encoder(out / CHECKPOINT)

    whole, done = train(tmp_path / "whole", [99])
    pieces, done_in_pieces = train(tmp_path / "pieces", [3, 99])
    assert done == done_in_pieces == 6
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(value, pieces.state_dict()[name], msg=name)


class Stopped(Exception):
    pass


class Steps:
    """Stops a training after so many steps, as Ctrl-C does."""

    def __init__(self, count):
        self.left = count

    def __call__(self, step, contrast, retained):
        self.left -= 1
        if self.left == 0:
            raise Stopped


def test_training_lowers_the_loss_and_its_encoder_exports(packed, tmp_path):
    losses = []
    pretrain(
        packed,
        tmp_path,
        schedule=Schedule(steps=60, rate=3e-4, warm_up=10, seed=1),
        recipe=Recipe(sites=1, machines=2, healthy=3, faulty=3, seconds=(1.0,), machine_pool=2, snr_db=(20, 20)),
        workers=0,
        report=lambda step, contrast, retained: losses.append(contrast),
    )
    assert np.mean(losses[-15:]) < 0.9 * np.mean(losses[:15])
    draw_curves(tmp_path / LOG, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    manifest = export_trained(tmp_path / CHECKPOINT, tmp_path / "encoder")
    assert not manifest.stand_in
    assert max(manifest.parity["max_abs_difference"].values()) <= 1e-4
    assert Encoder.load(tmp_path / "encoder").manifest == manifest


def test_a_data_folder_without_the_listed_recordings_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="of the listed recordings are not in"):
        corpus.pack(tmp_path, tmp_path / "corpus.zip")


def test_something_else_than_a_corpus_is_refused(tmp_path):
    (tmp_path / "corpus.zip").write_text("hello")
    with pytest.raises(DatasetError, match="no packed corpus"):
        corpus.load(tmp_path / "corpus.zip")


def test_no_listed_recording_is_one_that_measures():
    fan = [name for name in corpus.listed() if "mimii" in name]
    assert all(int(name.split("/")[-1].split(".")[0]) < 6 for name in fan)
    assert not any("abnormal" in name or "uav" in name or "dcase" in name for name in corpus.listed())
