"""Synthetic machine sounds: thousands of different machines of seven kinds, healthy or with a stated fault.

    draw_machine(kind, rng) → Machine          an individual: speeds, blades, resonances, room, microphone
    render(machine, seconds, rng, fault) → Rendering      one recording of it
    mix(signal, factory_noise(seconds, rng), snr_db)      in a hall
    write_dataset(...)                                     a folder in MIMII's layout with truth.csv

Everything follows from the generators given. Not here: sounds without a physical model, for pretraining
(`audio_pipeline.pretraining.machines`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from audio_pipeline.errors import SettingsError
from audio_pipeline.synth.drives import Bearing, Gearbox
from audio_pipeline.synth.fans import Fan, Propeller, Pump
from audio_pipeline.synth.machine import Fault, Machine, Rendering, calibrated, render
from audio_pipeline.synth.noise import factory_noise, mix
from audio_pipeline.synth.strikers import Slider, Valve

_CLASSES: Final[dict[str, type[Machine]]] = {
    sort.kind: sort for sort in (Fan, Pump, Valve, Slider, Bearing, Gearbox, Propeller)
}

KINDS: Final[tuple[str, ...]] = tuple(_CLASSES)
"""Names of the kinds of machine."""

__all__ = ["KINDS", "Fault", "Machine", "Rendering", "draw_machine", "factory_noise", "mix", "render"]


def draw_machine(kind: str, rng: np.random.Generator) -> Machine:
    """Draw an individual machine.

    Parameters
    ----------
    kind
        One of `KINDS`.
    rng
        One number is taken from it; the machine follows from that.

    Raises
    ------
    SettingsError
        There is no such kind.

    Examples
    --------
    >>> import numpy as np
    >>> from audio_pipeline.synth import draw_machine
    >>> draw_machine("valve", np.random.default_rng(0)).faults
    ('weak_stroke', 'missing_stroke', 'double_stroke', 'leak', 'scraping', 'sticking')
    """
    if kind not in _CLASSES:
        raise SettingsError(f"There is no kind of machine {kind!r}: choose one of {', '.join(KINDS)}.")
    return calibrated(_CLASSES[kind].draw(int(rng.integers(2**63))))
