"""Which kinds of machine there are, and drawing one.

Not here: what each kind sounds like (a module each).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from audio_pipeline.errors import SettingsError
from audio_pipeline.synth.bearings import Bearing
from audio_pipeline.synth.fans import Fan
from audio_pipeline.synth.gearboxes import Gearbox
from audio_pipeline.synth.machine import Machine, calibrated
from audio_pipeline.synth.propellers import Propeller
from audio_pipeline.synth.pumps import Pump
from audio_pipeline.synth.sliders import Slider
from audio_pipeline.synth.valves import Valve

_CLASSES: Final[dict[str, type[Machine]]] = {
    sort.kind: sort for sort in (Fan, Pump, Valve, Slider, Bearing, Gearbox, Propeller)
}

KINDS: Final = tuple(_CLASSES)
"""Names of the kinds of machine."""


def draw_machine(kind: str, rng: np.random.Generator) -> Machine:
    """Draw an individual of a kind: its speeds, counts, geometry, resonances, room and level.

    Parameters
    ----------
    kind
        One of `KINDS`.
    rng
        Source of the identity; one number is taken from it.

    Raises
    ------
    SettingsError
        There is no such kind.

    Examples
    --------
    >>> import numpy as np
    >>> draw_machine("bearing", np.random.default_rng(0)).faults
    ('outer_race', 'inner_race', 'ball', 'cage', 'lubrication')
    """
    if kind not in _CLASSES:
        raise SettingsError(f"There is no synthetic machine {kind!r}: choose one of {', '.join(KINDS)}.")
    return calibrated(_CLASSES[kind].draw(int(rng.integers(2**63))))


def faults_of(kind: str) -> tuple[str, ...]:
    """Return the names of the faults that a kind of machine can have.

    Examples
    --------
    >>> faults_of("fan")
    ('imbalance', 'blade_damage', 'belt_slip', 'bearing_wear', 'obstruction', 'rattle')
    """
    return tuple(_CLASSES[kind].ailments)
