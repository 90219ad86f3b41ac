"""A machine, a fault, a recording of both: the frame that every kind fills in.

A rendering is healthy sound plus gate times *change*: each fault states what it adds to, or takes from, the healthy
parts of the very same recording. So the healthy part never depends on the fault, and a fault that is present for a
while changes nothing outside its span.
Not here: the kinds themselves (a module each) and the recording's clockwork (`take.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from scipy.fft import irfft, rfft

from audio_pipeline.errors import SettingsError
from audio_pipeline.synth.room import Room
from audio_pipeline.synth.signals import SAMPLE_RATE, Signal, Spectrum, bins_hz, log_uniform, rms
from audio_pipeline.synth.take import Take, stream

Parts = dict[str, Signal]
"""A healthy recording's parts by name; their sum is the sound at the casing."""

_FADE_S = 0.02  # a partial fault comes and goes over this long, inside its span
_LONGEST_S = 600.0
_UNHEARD = 1e-4  # a change 80 dB below the machine is none: a missing stroke where there is none to miss


@dataclass(frozen=True)
class Fault:
    """What is wrong, how badly, and when.

    Attributes
    ----------
    name
        One of the machine's `faults`.
    severity
        In (0, 1]: scales the physical quantity behind the fault.
    onset_s, duration_s
        The fault is present only there. Without a duration: to the end. Without an onset: anywhere, by chance; without
        both: throughout.
    """

    name: str
    severity: float
    onset_s: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True, eq=False)
class Rendering:
    """One recording of one machine.

    Attributes
    ----------
    samples
        float32[n], 16 kHz.
    fault_span
        (start, end) in seconds of the stretch in which the fault is present; None when healthy, or when the fault found
        nothing to change there (a missing stroke where there is no stroke).
    fault_band_hz
        (low, high) in Hz that holds the middle 90 % of the energy of what the fault changed; None when healthy.
    """

    samples: Signal
    fault_span: tuple[float, float] | None = None
    fault_band_hz: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Trouble:
    """What a fault may know while it is rendered.

    Attributes
    ----------
    take
        The recording, with the fault's own randomness as its `chance`.
    severity
        In (0, 1].
    character
        Randomness that is the same in every recording of this machine with this fault: the pitch of its squeal.
    level
        Root mean square of the healthy sound.
    window
        (start, end) in seconds within which the fault is present.
    """

    take: Take
    severity: float
    character: np.random.Generator
    level: float
    window: tuple[float, float]

    def size(self, low_db: float, high_db: float) -> float:
        """An amplitude relative to the healthy level, from low (no severity) to high (severity 1)."""
        return self.level * self.degree(low_db, high_db)

    def degree(self, low_db: float, high_db: float) -> float:
        """A factor from `low_db` (no severity) to `high_db` (severity 1)."""
        return float(10 ** ((low_db + (high_db - low_db) * self.severity) / 20))


Ailment = Callable[[Any, Trouble, Parts], Signal]
"""(machine, circumstances, healthy parts) → what the fault adds to the healthy sound, over the whole take."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine(ABC):
    """One individual machine in its place.

    Attributes
    ----------
    seed
        The identity: everything else was drawn from it.
    room
        Where it stands and who listens.
    jitter, speed_spread
        Relative wandering of its speed within a recording; spread of its mean speed between recordings.
    gain
        Brings a healthy recording to an RMS of 0.1, or a peak of 0.5 where it strikes.
    """

    kind: ClassVar[str]
    ailments: ClassVar[Mapping[str, Ailment]]

    seed: int
    room: Room
    jitter: float
    speed_spread: float
    gain: float = 1.0

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults that this kind of machine can have."""
        return tuple(self.ailments)

    @classmethod
    @abstractmethod
    def draw(cls, seed: int) -> Self:
        """Draw an individual."""

    @abstractmethod
    def play(self, take: Take) -> Parts:
        """Make the parts of a healthy recording, at the casing."""


Individual = TypeVar("Individual", bound=Machine)


def identity(seed: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw what every machine has: seed, room, constancy of speed."""
    return {
        "seed": seed,
        "room": Room.draw(rng),
        "jitter": log_uniform(rng, 1e-4, 3e-3),
        "speed_spread": log_uniform(rng, 1e-3, 8e-3),
    }


def calibrated(machine: Individual) -> Individual:
    """The same machine with its gain set."""
    samples = render(machine, 3.0, np.random.default_rng([machine.seed, 9])).samples
    return replace(machine, gain=min(0.1 / (rms(samples) + 1e-9), 0.5 / (float(np.abs(samples).max()) + 1e-9)))


def render(machine: Machine, seconds: float, rng: np.random.Generator, fault: Fault | None = None) -> Rendering:
    """Record a machine.

    Two recordings differ in speed, phase, load, level, noise and timing, as two recordings of one real machine do. With
    generators in the same state the healthy part is the same with and without a fault, and outside the span of a
    partial fault the samples are equal.

    Parameters
    ----------
    machine
        From `draw_machine`.
    seconds
        Length, 0.1 to 600.
    rng
        The recording's randomness; one number is taken from it.
    fault
        What is wrong; None for a healthy recording.

    Raises
    ------
    SettingsError
        The machine cannot have that fault; severity, onset or duration do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from audio_pipeline.synth import Fault, draw_machine, render
    >>> fan = draw_machine("fan", np.random.default_rng(7))
    >>> ill = render(fan, 2.0, np.random.default_rng(1), Fault("belt_slip", 0.8, onset_s=1.0, duration_s=0.5))
    >>> ill.samples.shape, ill.fault_span
    ((32000,), (1.0, 1.5))
    """
    if not 0.1 <= seconds <= _LONGEST_S:
        raise SettingsError(f"A recording of {seconds:g} s cannot be made: choose 0.1 to {_LONGEST_S:g} s.")
    if fault is not None:
        _check(machine, seconds, fault)
    take = Take.begin(int(rng.integers(2**63)), seconds, machine.jitter, machine.speed_spread)
    parts = {name: part * take.loading(name) for name, part in machine.play(take).items()}
    gain = np.float32(machine.gain) * take.loading("")
    healthy = _total(parts)
    response = machine.room.response(take.size)
    heard = _heard(rfft(healthy) * response, take) * gain
    if fault is None:
        return Rendering(heard)
    window = _window(fault, seconds, take.drawing("onset").chance)
    character = stream(machine.seed, fault.name)
    trouble = Trouble(take.drawing("fault"), fault.severity, character, rms(healthy[take.lead :]), window)
    spectrum = rfft(machine.ailments[fault.name](machine, trouble, parts)) * response
    changed = _heard(spectrum, take) * gain * _gate(take.count, window)
    if rms(changed) < _UNHEARD * rms(heard):
        return Rendering(heard)
    return Rendering(heard + changed, window, _band(spectrum, take.size))


def _heard(spectrum: Spectrum, take: Take) -> Signal:
    return np.asarray(irfft(spectrum, take.size)[take.lead :], np.float32)


def _check(machine: Machine, seconds: float, fault: Fault) -> None:
    if fault.name not in machine.faults:
        known = ", ".join(machine.faults)
        raise SettingsError(f"A {machine.kind} has no fault {fault.name!r}: choose one of {known}.")
    if not 0 < fault.severity <= 1:
        raise SettingsError(f"Severity {fault.severity:g} cannot be used: choose a number above 0, up to 1.")
    onset, duration = fault.onset_s or 0.0, fault.duration_s
    if not 0 <= onset < seconds or (duration is not None and not 0.05 <= duration <= seconds - onset + 1e-6):
        raise SettingsError(
            f"A fault from {onset:g} s for {duration} s does not fit a recording of {seconds:g} s: onset and duration "
            "(at least 0.05 s) have to lie inside it."
        )


def _window(fault: Fault, seconds: float, chance: np.random.Generator) -> tuple[float, float]:
    if fault.duration_s is None:
        return (fault.onset_s or 0.0, seconds)
    onset = fault.onset_s if fault.onset_s is not None else float(chance.uniform(0, seconds - fault.duration_s))
    return (onset, min(onset + fault.duration_s, seconds))


def _gate(count: int, window: tuple[float, float]) -> Signal:
    start, end = round(window[0] * SAMPLE_RATE), round(window[1] * SAMPLE_RATE)
    gate = np.zeros(count, np.float32)
    gate[start:end] = 1.0
    ramp = np.sin(np.linspace(0, np.pi / 2, int(_FADE_S * SAMPLE_RATE), dtype=np.float32)) ** 2
    if start > 0:
        gate[start : start + len(ramp)] *= ramp[: end - start]
    if end < count:
        gate[max(end - len(ramp), start) : end] *= ramp[::-1][-(end - start) :]
    return gate


def _band(spectrum: Spectrum, size: int) -> tuple[float, float] | None:
    energy = np.cumsum(spectrum.real**2 + spectrum.imag**2, dtype=np.float64)
    if energy[-1] <= 0:
        return None
    low, high = np.searchsorted(energy, np.array([0.05, 0.95]) * energy[-1])
    hertz = bins_hz(size)
    return float(hertz[low]), float(hertz[min(high + 1, len(hertz) - 1)])


def _total(parts: Parts) -> Signal:
    return np.asarray(np.sum(list(parts.values()), axis=0), np.float32)
