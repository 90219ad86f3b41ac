"""Training the transformer, by steps over episodes.

Healthy clips of a machine shall be alike and nothing else (contrast), and the detector that scores the trained columns
beside the plain ones shall rank faults above healthy clips: what those find already need not be learned again. That
detector measures distances in the trained columns as they are, so the network also learns when to say nothing: where it
hears no fault, rows that lie close together cost no ranking.
Resumable, seeded, in pieces as long as one likes: a checkpoint holds weights, their running average, optimiser and
step; batches follow from seed and step. Whatever interrupts costs at most the steps since the last checkpoint. At the
end of the schedule fresh episodes give the columns their unit (`unit`).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.errors import SettingsError
from audio_pipeline.pretraining.corpus import load
from audio_pipeline.pretraining.losses import contrast, fused_ranking
from audio_pipeline.pretraining.scenes import KNOTS, Recipe, SceneMaker
from audio_pipeline.pretraining.unit import give_unit, within_machines
from audio_pipeline.torch_encoders.export import export_encoder
from audio_pipeline.torch_encoders.logmel import COARSE, FINE, Spectrum
from audio_pipeline.torch_encoders.machine_encoder import COLUMNS, FRAME_HOP_S, TRAINED, MachineEncoder

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
LOSSES = ("contrast", "fused")
"""Columns of the log, after the step."""
Batch = tuple[Tensor, Tensor, Tensor]
"""Two spectra float32[episodes * clips, T, bands]; faults bool[episodes, clips]."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes
    ----------
    steps
        The learning rate is held, then falls to zero over the last `decay` of them.
    known
        Healthy clips of an episode that the others are judged by.
    fused
        Weight, beside the contrast, of the detector's ranking of faults on all groups together.
    unit_batches
        Fresh batches at the end, which give the columns their unit.
    """

    steps: int = 2000
    rate: float = 1e-3
    warm_up: int = 100
    decay: float = 0.4
    weight_decay: float = 0.01
    known: int = 10
    fused: float = 2.0
    average: float = 0.99
    unit_batches: int = 60
    seed: int = 0

    def factor(self, step: int) -> float:
        """Share of the learning rate at a step."""
        remaining = (self.steps - step) / max(1.0, self.decay * self.steps)
        return max(0.0, min(1.0, (step + 1) / self.warm_up, remaining))


def losses(encoder: MachineEncoder, batch: Batch, known: int) -> dict[str, Tensor]:
    """The losses of one batch, by the names of `LOSSES`."""
    coarse, fine, fault = batch
    groups = {**encoder.plain(coarse, fine), TRAINED: encoder.dynamics(coarse)}
    columns = {name: rows.reshape(*fault.shape, -1) for name, rows in groups.items()}
    fused = fused_ranking(columns, [known] * len(fault), fault, {TRAINED})
    return {"contrast": contrast(columns[TRAINED], fault), "fused": fused.float()}


class Batches(Dataset[Batch]):
    """Batch number i, for a worker process of torch's DataLoader."""

    def __init__(self, maker: SceneMaker, recipe: Recipe, first: int, last: int) -> None:
        self._maker, self._recipe = maker, recipe
        self._spectra = MachineEncoder()
        self._first, self._last = first, last

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: int) -> Batch:
        coarse, fine, faults = [], [], []
        count = self._recipe.episodes
        for number in range((self._first + index) * count, (self._first + index + 1) * count):
            episode = self._maker.episode(number)
            audio, colour = torch.from_numpy(episode.audio), torch.from_numpy(episode.colour_db)
            # A few clips at a time stay in the processor's cache: twice as fast.
            with torch.no_grad():
                for clips, curve in zip(torch.split(audio, 4), torch.split(colour, 4), strict=True):
                    quick, slow = self._spectra.spectra(clips)
                    coarse.append(quick + _curve(COARSE, curve))
                    fine.append(slow + _curve(FINE, curve))
            faults.append(torch.from_numpy(episode.fault))
        return torch.cat(coarse), torch.cat(fine), torch.stack(faults)


def _curve(spectrum: Spectrum, colour_db: Tensor) -> Tensor:
    """A response float32[clips, KNOTS] in dB → what it adds to natural-log bands, float32[clips, 1, bands]."""
    hertz = librosa.mel_frequencies(spectrum.bands + 2, fmin=0.0, fmax=spectrum.top_hz)[1:-1]
    octave = np.clip(np.log2(hertz / 125), 0, KNOTS - 1)
    hats = np.maximum(0, 1 - np.abs(octave[None] - np.arange(KNOTS)[:, None]))
    added: Tensor = colour_db @ torch.from_numpy(hats * np.log(10) / 10).float()
    return added[:, None]


def pretrain(
    packed: Path,
    out: Path,
    *,
    schedule: Schedule,
    recipe: Recipe,
    minutes: float | None = None,
    workers: int = 1,
    checkpoint_s: float = 180.0,
    keep_every: int | None = None,
    kept_takes: Path | None = None,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
) -> int:
    """Train, or go on training, until the schedule ends or the minutes are over.

    Parameters
    ----------
    packed
        From `corpus.pack`.
    out
        Folder of the checkpoint and the log; a checkpoint there is gone on from.
    minutes
        Stop, with a checkpoint, after this long.
    workers
        Processes that make batches.
    checkpoint_s
        Seconds between checkpoints.
    keep_every
        Keep a copy of the running average of the weights after so many steps each, to choose from.
    kept_takes
        Folder in which rendered machines are kept, for several workers or several runs; None: in memory.
    report
        Called after each step with (step, losses by name).

    Returns
    -------
    int
        Steps done in all.

    Raises
    ------
    DatasetError
        If the corpus cannot be read.
    SettingsError
        If the checkpoint there was drawn from another seed or recipe.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    corpus = load(packed)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    encoder = MachineEncoder().to(device)
    maker = SceneMaker(corpus, recipe, schedule.seed, kept_takes)
    average = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    step = _resume(out / CHECKPOINT, encoder, average, optimiser, schedule, recipe, device)
    _forget_after(out / LOG, step)
    deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
    saved = time.monotonic()
    with (out / LOG).open("a", newline="") as log:
        rows = csv.writer(log)
        try:
            for batch in _batches(maker, recipe, step, schedule.steps, workers):
                if time.monotonic() > deadline:
                    break
                found = _learn(encoder, average, optimiser, schedule, step, batch, device)
                step += 1
                rows.writerow([step, *(f"{found[name]:.5f}" for name in LOSSES)])
                if report:
                    report(step, found)
                if keep_every and step % keep_every == 0:
                    torch.save({"average": average, "step": step}, out / f"average-{step:06d}.pt")
                if time.monotonic() - saved > checkpoint_s:
                    log.flush()
                    _save(out / CHECKPOINT, step, encoder, average, optimiser, schedule, recipe)
                    saved = time.monotonic()
        finally:  # Ctrl-C as well: nothing learned is lost
            _save(out / CHECKPOINT, step, encoder, average, optimiser, schedule, recipe)
    if step == schedule.steps:
        fresh = _batches(maker, recipe, step, step + schedule.unit_batches, workers)
        covariance = within_machines(trained_encoder(out / CHECKPOINT)[0], fresh)
        _save(out / CHECKPOINT, step, encoder, average, optimiser, schedule, recipe, torch.from_numpy(covariance))
    return step


def _learn(
    encoder: MachineEncoder,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    step: int,
    batch: Batch,
    device: torch.device,
) -> dict[str, float]:
    """One step of the optimiser; the batch's losses."""
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate * schedule.factor(step)
    coarse, fine, fault = (part.to(device, non_blocking=True) for part in batch)
    found = losses(encoder, (coarse, fine, fault), schedule.known)
    whole = found["contrast"] + schedule.fused * found["fused"]
    optimiser.zero_grad(set_to_none=True)
    whole.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
    optimiser.step()
    with torch.no_grad():
        keep = min(schedule.average, (2 + step) / (11 + step))
        for name, value in encoder.state_dict().items():
            average[name].lerp_(value, 1 - keep)
    return {name: loss.item() for name, loss in found.items()}


def _batches(maker: SceneMaker, recipe: Recipe, first: int, last: int, workers: int) -> Iterator[Batch]:
    loader = DataLoader(
        Batches(maker, recipe, first, last),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def trained_encoder(checkpoint: Path) -> tuple[MachineEncoder, int]:
    """The running average of the weights, as an encoder, and its steps; the columns in their unit once it is known."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    encoder = MachineEncoder()
    encoder.load_state_dict(state["average"])
    if state["within_machines"] is not None:
        give_unit(encoder, state["within_machines"].numpy())
    return encoder, int(state["step"])


def export_trained(checkpoint: Path, folder: Path) -> EncoderManifest:
    """Export a training's encoder to ONNX."""
    encoder, steps = trained_encoder(checkpoint)
    seed = torch.load(checkpoint, map_location="cpu", weights_only=True)["schedule"]["seed"]
    return export_encoder(
        encoder,
        folder,
        name=folder.name,
        frame_hop_s=FRAME_HOP_S,
        description=f"Log-mel statistics, and {COLUMNS} columns of a wav2vec2 trained {steps} steps on machine sound.",
        source={
            "made_by": f"wheeltapper pretrain --steps {steps} --seed {seed}",
            "recordings": "audio_pipeline/pretraining/recordings.txt",
        },
    )


def _save(
    path: Path,
    step: int,
    encoder: MachineEncoder,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    recipe: Recipe,
    within: Tensor | None = None,
) -> None:
    partial = path.with_suffix(".part")
    torch.save(
        {
            "step": step,
            "weights": encoder.state_dict(),
            "average": average,
            "optimiser": optimiser.state_dict(),
            "within_machines": within,
            "schedule": asdict(schedule),
            "recipe": asdict(recipe),
        },
        partial,
    )
    partial.replace(path)


def _resume(
    path: Path,
    encoder: MachineEncoder,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    recipe: Recipe,
    device: torch.device,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    if (state["schedule"]["seed"], state["recipe"]) != (schedule.seed, asdict(recipe)):
        raise SettingsError(
            f"{path} was begun with another seed ({state['schedule']['seed']}) or recipe: the two would be mixed. "
            "Give the same ones, or another folder."
        )
    encoder.load_state_dict(state["weights"])
    average.update({name: value.to(device) for name, value in state["average"].items()})
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _forget_after(log: Path, step: int) -> None:
    """Steps that a killed run took after its last checkpoint are taken again: they stand in the log once."""
    if log.exists():
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= step))
