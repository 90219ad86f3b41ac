"""Training an encoder's upper layers on a plant's own healthy clips.

What the encoder is used for is what it is trained for (`losses`): an episode is one of the plant's machines; some
stretches of its healthy clips are known, others are to be judged, half of them with a fault made on purpose. No noise
is mixed in: the plant's own is there.

Here: episodes, steps. Not here: whether the result is any better (`finetune`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audio_pipeline.clip import SAMPLE_RATE
from audio_pipeline.errors import TrainingError
from audio_pipeline.finetuning.weights import trainable
from audio_pipeline.pretraining.alterations import altered, crop
from audio_pipeline.pretraining.losses import fused_ranking
from audio_pipeline.torch_encoders.machine_encoder import TRAINED, MachineEncoder

Samples = NDArray[np.float32]

MIN_CLIPS = 8
"""Of a machine, to learn from: four known ones, and as many to be judged."""


@dataclass(frozen=True)
class Tuning:
    """How long and how fast.

    Attributes
    ----------
    steps
        Of the optimiser; the rate falls to zero along a half cosine.
    rate
        A fraction of pretraining's.
    episodes
        In one step.
    reference, healthy, faulty
        Clips of an episode: known, and to be judged.
    seconds
        Of a stretch.
    hold
        Weight of the squared distance from where the weights came from: few clips must not carry them far.
    seed
        Of everything drawn.
    """

    steps: int = 200
    rate: float = 2e-4
    episodes: int = 4
    reference: int = 12
    healthy: int = 6
    faulty: int = 6
    seconds: float = 4.0
    hold: float = 0.01
    seed: int = 0


def tune(
    module: MachineEncoder,
    sounds: Mapping[str, Sequence[Samples]],
    tuning: Tuning,
    report: Callable[[int, float], None] = lambda _step, _loss: None,
) -> MachineEncoder:
    """Train the upper layers in place.

    Parameters
    ----------
    module
        The network.
    sounds
        Machine → its healthy clips, float32[n] each.
    tuning
        How.
    report
        Called with the step and its loss.

    Returns
    -------
    MachineEncoder
        The module.

    Raises
    ------
    TrainingError
        No machine has clips enough.
    """
    usable = {machine: list(clips) for machine, clips in sorted(sounds.items()) if len(clips) >= MIN_CLIPS}
    if not usable:
        most = max((len(clips) for clips in sounds.values()), default=0)
        raise TrainingError(
            f"Fine-tuning needs {MIN_CLIPS} healthy clips of a machine that are not held out; no machine has more than "
            f"{most}. Record more and embed them."
        )
    torch.manual_seed(tuning.seed)
    learning = trainable(module)
    origin = {name: value.detach().clone() for name, value in learning.items()}
    module.requires_grad_(False)
    for weight in learning.values():
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(learning.values(), lr=tuning.rate, weight_decay=0.0)
    machines = list(usable)
    for step in range(tuning.steps):
        rng = np.random.default_rng([tuning.seed, step])
        for group in optimiser.param_groups:
            group["lr"] = tuning.rate * (1 + np.cos(np.pi * step / tuning.steps)) / 2
        drawn = [
            _episode(usable[machines[int(rng.integers(len(machines)))]], tuning, rng) for _ in range(tuning.episodes)
        ]
        loss = _loss(module, drawn, tuning) + tuning.hold * sum(
            ((value - origin[name]) ** 2).sum() for name, value in learning.items()
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning.values(), 1.0)
        optimiser.step()
        report(step + 1, float(loss.detach()))
    return module.eval()


def _episode(clips: Sequence[Samples], tuning: Tuning, rng: np.random.Generator) -> Samples:
    """One machine: float32[reference + healthy + faulty, samples], in this order.

    A clip is either known or judged. A fault sounds twice, differently each time, as faults do.
    """
    count = round(tuning.seconds * SAMPLE_RATE)
    order = rng.permutation(len(clips))
    known = max(4, len(clips) // 2)

    def stretch(position: int) -> Samples:
        return crop(clips[int(order[position])], count, rng)

    reference = [stretch(n % known) for n in range(tuning.reference)]
    judged = [stretch(known + n % (len(clips) - known)) for n in range(tuning.healthy + tuning.faulty)]
    ailments = rng.integers(2**31, size=(tuning.faulty + 1) // 2)
    for number, place in enumerate(range(tuning.healthy, tuning.healthy + tuning.faulty)):
        judged[place] = altered(judged[place], np.random.default_rng(int(ailments[number // 2])), rng)
    return np.stack([*reference, *judged]).astype(np.float32)


def _loss(module: MachineEncoder, drawn: Sequence[Samples], tuning: Tuning) -> Tensor:
    audio = torch.from_numpy(np.concatenate(drawn))
    with torch.no_grad():
        coarse, fine = module.spectra(audio)
    groups = {**module.plain(coarse, fine), TRAINED: module.dynamics(coarse)}
    clips = len(drawn[0])
    fault = torch.zeros(len(drawn), clips, dtype=torch.bool)
    fault[:, tuning.reference + tuning.healthy :] = True
    columns = {name: values.reshape(len(drawn), clips, -1) for name, values in groups.items()}
    return fused_ranking(columns, [tuning.reference] * len(drawn), fault, {TRAINED})
