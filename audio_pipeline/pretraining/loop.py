"""The training loop: resumable, seeded, in pieces as long as one likes.

A checkpoint holds weights, their running average, optimiser and step; batches follow from seed and step. Whatever
interrupts the training costs at most the steps since the last checkpoint.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from audio_pipeline.encoder import EncoderManifest
from audio_pipeline.pretraining.corpus import Corpus, load
from audio_pipeline.pretraining.losses import retained_mixture, supervised_contrast
from audio_pipeline.pretraining.scenes import Recipe, SceneMaker
from audio_pipeline.torch_encoders.export import export_encoder
from audio_pipeline.torch_encoders.machine_encoder import COLUMNS, FRAME_HOP_S, MachineEncoder, compact_config

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes
    ----------
    steps
        The whole training. The learning rate is held, then falls to zero over the last `decay` of it.
    retain_weight
        Weight of the loss that reads the mixture's statistics off the embedding.
    """

    steps: int = 3000
    rate: float = 6e-4
    warm_up: int = 100
    decay: float = 0.4
    weight_decay: float = 0.01
    retain_weight: float = 0.1
    average: float = 0.995
    seed: int = 0

    def factor(self, step: int) -> float:
        """Share of the learning rate at a step."""
        remaining = (self.steps - step) / max(1.0, self.decay * self.steps)
        return max(0.0, min(1.0, (step + 1) / self.warm_up, remaining))


class _Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Batch number i, for a worker process of torch's DataLoader."""

    def __init__(self, corpus: Corpus, recipe: Recipe, seed: int, first: int, last: int) -> None:
        self._maker = SceneMaker(corpus, recipe, seed)
        self._first, self._last = first, last

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        scenes = self._maker.batch(self._first + index)
        return torch.from_numpy(scenes.audio), torch.from_numpy(scenes.states), torch.from_numpy(scenes.sites)


class _Training(nn.Module):
    """The encoder with what is needed only while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MachineEncoder(compact_config())
        self.read_off = nn.Linear(2 * COLUMNS, 3 * 128)

    def losses(self, audio: Tensor, states: Tensor, sites: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            # A few clips at a time stay in the processor's cache: twice as fast.
            pieces = [
                self.encoder.spectra(part) for part in torch.split(audio, 4 if audio.device.type == "cpu" else 1024)
            ]
            coarse, fine = (torch.cat(spectrum) for spectrum in zip(*pieces, strict=True))
            statistics = torch.cat([coarse.mean(1), coarse.std(1), coarse.amax(1)], dim=1)
        groups = self.encoder.trained(self.encoder.hidden(coarse, fine))
        contrast = torch.stack([supervised_contrast(group, states, sites) for group in groups]).mean()
        units = torch.cat([nn.functional.normalize(group, dim=1) * 8 for group in groups], dim=1)
        return contrast, retained_mixture(self.read_off(units), statistics)


def pretrain(
    packed: Path,
    out: Path,
    *,
    schedule: Schedule,
    recipe: Recipe,
    minutes: float | None = None,
    workers: int = 1,
    checkpoint_s: float = 180.0,
    report: Callable[[int, float, float], None] | None = None,
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
    report
        Called after each step with (step, contrast, retained).

    Returns
    -------
    int
        Steps done in all.

    Raises
    ------
    DatasetError
        If the corpus cannot be read.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    corpus = load(packed)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    training = _Training().to(device)
    average = {name: value.clone() for name, value in training.encoder.state_dict().items()}
    optimiser = torch.optim.AdamW(training.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    step = _resume(out / CHECKPOINT, training, average, optimiser, device)
    deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
    saved = time.monotonic()
    with (out / LOG).open("a", newline="") as log:
        rows = csv.writer(log)
        try:
            for batch in _batches(corpus, recipe, schedule, step, workers):
                if time.monotonic() > deadline:
                    break
                contrast, retained = _learn(training, average, optimiser, schedule, step, batch, device)
                step += 1
                rows.writerow([step, f"{contrast:.5f}", f"{retained:.5f}"])
                if report:
                    report(step, contrast, retained)
                if time.monotonic() - saved > checkpoint_s:
                    log.flush()
                    _save(out / CHECKPOINT, step, training, average, optimiser, schedule, recipe)
                    saved = time.monotonic()
        finally:  # Ctrl-C as well: nothing learned is lost
            _save(out / CHECKPOINT, step, training, average, optimiser, schedule, recipe)
    return step


def _learn(
    training: _Training,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    step: int,
    batch: tuple[Tensor, Tensor, Tensor],
    device: torch.device,
) -> tuple[float, float]:
    """One step of the optimiser; the batch's two losses."""
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate * schedule.factor(step)
    contrast, retained = training.losses(*(part.to(device, non_blocking=True) for part in batch))
    optimiser.zero_grad(set_to_none=True)
    (contrast + schedule.retain_weight * retained).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(training.parameters(), 5.0)
    optimiser.step()
    with torch.no_grad():
        keep = min(schedule.average, (2 + step) / (11 + step))
        for name, value in training.encoder.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - keep)
            else:
                average[name].copy_(value)
    return contrast.item(), retained.item()


def _batches(
    corpus: Corpus, recipe: Recipe, schedule: Schedule, first: int, workers: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    batches = _Batches(corpus, recipe, schedule.seed, first, schedule.steps)
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def trained_encoder(checkpoint: Path) -> tuple[MachineEncoder, int]:
    """The running average of the weights, as an encoder, and the steps it was trained for."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    encoder = MachineEncoder(compact_config())
    encoder.load_state_dict(state["average"])
    return encoder, int(state["step"])


def export_trained(checkpoint: Path, folder: Path) -> EncoderManifest:
    """Export a finished training's encoder to ONNX."""
    encoder, steps = trained_encoder(checkpoint)
    return export_encoder(
        encoder,
        folder,
        name=folder.name,
        frame_hop_s=FRAME_HOP_S,
        description=f"Compact wav2vec2 for machine sound, trained {steps} steps, beside log-mel statistics.",
        source={"steps": steps, "recordings": "audio_pipeline/pretraining/recordings.txt"},
    )


def _save(
    path: Path,
    step: int,
    training: _Training,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    recipe: Recipe,
) -> None:
    partial = path.with_suffix(".part")
    torch.save(
        {
            "step": step,
            "weights": training.state_dict(),
            "average": average,
            "optimiser": optimiser.state_dict(),
            "schedule": asdict(schedule),
            "recipe": asdict(recipe),
        },
        partial,
    )
    partial.replace(path)


def _resume(
    path: Path,
    training: _Training,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    training.load_state_dict(state["weights"])
    average.update({name: value.to(device) for name, value in state["average"].items()})
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
