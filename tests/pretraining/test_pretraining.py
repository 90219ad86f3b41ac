"""Pretraining: episodes follow from the seed, losses mean what they say, an interrupted run goes on unchanged."""

import contextlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train': pip install -c requirements.lock -e '.[train]'")
pytest.importorskip("transformers")

import soundfile as sf
import torch

from audio_pipeline.encoder import Encoder
from audio_pipeline.errors import DatasetError, SettingsError
from audio_pipeline.pretraining import corpus
from audio_pipeline.pretraining.alterations import crop
from audio_pipeline.pretraining.curves import draw_curves
from audio_pipeline.pretraining.loop import (
    CHECKPOINT,
    LOG,
    Batches,
    Schedule,
    export_trained,
    losses,
    pretrain,
    trained_encoder,
)
from audio_pipeline.pretraining.losses import contrast
from audio_pipeline.pretraining.machines import any_machine, sound, with_fault
from audio_pipeline.pretraining.scenes import Recipe, SceneMaker
from audio_pipeline.pretraining.unit import give_unit, within_machines
from audio_pipeline.torch_encoders.machine_encoder import TRAINED, MachineEncoder

SMALL = Recipe(
    episodes=2, healthy=6, faulty=4, seconds=(1.0,), machine_pool=3, healthy_takes=8, faulty_takes=2, real_share=0.3
)
FEW = Schedule(steps=4, known=4, unit_batches=2)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small get slower with threads, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def test_an_episode_is_the_same_whatever_was_made_before(packed):
    loaded = corpus.load(packed)
    maker = SceneMaker(loaded, SMALL, seed=3)
    maker.episode(0)
    first, again = maker.episode(5), SceneMaker(loaded, SMALL, seed=3).episode(5)
    np.testing.assert_array_equal(first.audio, again.audio)
    np.testing.assert_array_equal(first.colour_db, again.colour_db)
    assert not np.array_equal(first.audio, SceneMaker(loaded, SMALL, seed=4).episode(5).audio)


def test_kept_recordings_are_those_that_would_be_made(packed, tmp_path):
    loaded = corpus.load(packed)
    made = SceneMaker(loaded, SMALL, seed=0).episode(1)
    for _ in range(2):  # written, then read
        kept = SceneMaker(loaded, SMALL, seed=0, kept=tmp_path).episode(1)
        np.testing.assert_array_equal(made.audio, kept.audio)


def test_an_episode_has_healthy_and_faulty_clips_all_equally_loud(packed):
    for number in range(4):
        episode = SceneMaker(corpus.load(packed), SMALL, seed=0).episode(number)
        assert episode.audio.shape == (10, 16_000)
        np.testing.assert_allclose((episode.audio**2).mean(1), 1, rtol=1e-3)
        assert episode.fault.tolist() == [False] * 6 + [True] * 4


def test_the_episodes_of_a_batch_are_as_long_as_each_other_and_batches_differ(packed):
    maker = SceneMaker(corpus.load(packed), replace(SMALL, seconds=(0.5, 1.0, 8.0)), seed=0)
    lengths = [maker.episode(number).audio.shape[1] for number in range(16)]
    assert lengths[::2] == lengths[1::2]
    assert set(lengths) == {8_000, 16_000, 128_000}


def test_a_recording_that_goes_round_does_not_click():
    t = np.arange(8_000) / 16_000
    ramp = (np.sin(2 * np.pi * 50.3 * t) + 3 * t).astype(np.float32)  # its end is far from its beginning
    longer = crop(ramp, 40_000, np.random.default_rng(0))
    assert np.abs(np.diff(longer)).max() < 0.05


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


def test_contrast_is_low_when_healthy_clips_of_a_machine_are_alike_and_faulty_ones_are_not():
    rng = torch.Generator().manual_seed(0)
    fault = torch.tensor([False] * 4 + [True] * 2).repeat(3, 1)
    machines = torch.randn(3, 1, 8, generator=rng)
    told_apart = machines + 0.1 * torch.randn(3, 6, 8, generator=rng) + 3 * fault[..., None] * torch.randn(3, 6, 8)
    deaf = machines + 0.1 * torch.randn(3, 6, 8, generator=rng)
    assert contrast(told_apart, fault) < contrast(deaf, fault) < contrast(torch.randn(3, 6, 8, generator=rng), fault)


def test_an_interrupted_training_goes_on_as_if_it_had_not_been_and_its_encoder_exports(packed, tmp_path):
    def train(out, steps_each):
        for steps in steps_each:
            stop_after = Steps(steps)
            with contextlib.suppress(Stopped):
                pretrain(packed, out, schedule=FEW, recipe=SMALL, workers=0, report=stop_after)
        return trained_encoder(out / CHECKPOINT)

    whole, done = train(tmp_path / "whole", [99])
    pieces, done_in_pieces = train(tmp_path / "pieces", [2, 99])
    assert done == done_in_pieces == 4
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(value, pieces.state_dict()[name], msg=name)
    draw_curves(tmp_path / "whole" / LOG, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    manifest = export_trained(tmp_path / "whole" / CHECKPOINT, tmp_path / "encoder")
    assert max(manifest.parity["max_abs_difference"].values()) <= 1e-4
    assert Encoder.load(tmp_path / "encoder").manifest == manifest
    assert manifest.groups[TRAINED].source == "trained"
    assert manifest.groups[TRAINED].absolute


def test_a_training_is_not_gone_on_with_another_seed_and_a_killed_one_logs_each_step_once(packed, tmp_path):
    stop = Steps(2)
    with contextlib.suppress(Stopped):
        pretrain(packed, tmp_path, schedule=FEW, recipe=SMALL, workers=0, report=stop)
    with (tmp_path / LOG).open("a") as log:  # what a killed run had done after its last checkpoint
        log.write("3,9.0,9.0,9.0\n4,9.")
    with pytest.raises(SettingsError, match="another seed"):
        pretrain(packed, tmp_path, schedule=replace(FEW, seed=7), recipe=SMALL, workers=0)
    pretrain(packed, tmp_path, schedule=FEW, recipe=SMALL, workers=0)
    assert [line.split(",")[0] for line in (tmp_path / LOG).read_text().splitlines()] == ["1", "2", "3", "4"]
    assert "9.0" not in (tmp_path / LOG).read_text()


class Stopped(Exception):
    pass


class Steps:
    """Stops a training after so many steps, as Ctrl-C does."""

    def __init__(self, count):
        self.left = count

    def __call__(self, step, losses):
        self.left -= 1
        if self.left == 0:
            raise Stopped


def test_learning_one_batch_lowers_its_losses(packed):
    torch.manual_seed(0)
    encoder = MachineEncoder()
    recipe = replace(SMALL, snr_db=(-6.0, -6.0))
    batch = Batches(SceneMaker(corpus.load(packed), recipe, seed=1), recipe, 0, 1)[0]
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    found = []
    for _ in range(12):
        losses_ = losses(encoder, batch, known=4)
        found.append({name: loss.item() for name, loss in losses_.items()})
        optimiser.zero_grad()
        sum(losses_.values()).backward()
        optimiser.step()
    assert all(found[-1][name] < 0.9 * found[0][name] for name in found[0])


def test_the_unit_of_the_columns_is_how_far_healthy_clips_of_a_machine_lie_apart(packed):
    torch.manual_seed(0)
    encoder = MachineEncoder().eval()
    batches = [Batches(SceneMaker(corpus.load(packed), SMALL, seed=1), SMALL, 0, 4)[number] for number in range(4)]
    before = np.linalg.eigvalsh(within_machines(encoder, batches))
    give_unit(encoder, within_machines(encoder, batches))
    after = np.sort(np.linalg.eigvalsh(within_machines(encoder, batches)))
    np.testing.assert_allclose(after, before / (before + before.mean()), rtol=0.01, atol=1e-4)
    assert after.max() < 1 < before.max() / before.mean()


def test_what_passes_is_heard_for_a_moment_and_in_no_other_clip(packed):
    silent = replace(SMALL, seconds=(8.0,), snr_db=(60.0, 60.0), snr_jitter_db=(1e-3, 2e-3), distracted=0.0)
    loaded = corpus.load(packed)
    loudness = []
    for passing in (0.0, 1.0):
        recipe = replace(silent, passing=passing)
        audio = np.concatenate([SceneMaker(loaded, recipe, seed=0).episode(number).audio for number in range(6)])
        loudness.append((audio.reshape(len(audio), 80, -1) ** 2).mean(2))
    # A tenth of a second stands out against the clip's middle one where something passes.
    stands_out = [np.log(of.max(1) / np.median(of, axis=1)).mean() for of in loudness]
    assert stands_out[1] > stands_out[0] + 0.1


def test_the_trained_columns_hear_how_sound_changes_and_not_how_loud_its_bands_are():
    torch.manual_seed(0)
    encoder = MachineEncoder().eval()
    coarse, _ = encoder.spectra(torch.randn(1, 48_000, generator=torch.Generator().manual_seed(0)))
    coloured = coarse + torch.linspace(-2, 2, coarse.shape[2])
    beating = coarse + torch.sin(torch.arange(coarse.shape[1]) / 2)[None, :, None]
    with torch.no_grad():
        as_it_is, filtered, with_beat = (encoder.dynamics(frames) for frames in (coarse, coloured, beating))
    torch.testing.assert_close(filtered, as_it_is, atol=1e-4, rtol=1e-4)
    assert (with_beat - as_it_is).abs().max() > 0.05


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
