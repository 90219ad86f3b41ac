"""Reference sets of synthetic vectors: correlated Gaussian machines, and recording groups on the side wanted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from audio_pipeline.detector import backends
from audio_pipeline.encoder import ColumnGroup, EncoderManifest
from audio_pipeline.reference import Reference, is_held_out

ENCODER_SHA256 = "ab" * 32


class Machine:
    """Draws vectors whose columns correlate, differ a thousandfold in none and tenfold in deviation.

    Parameters
    ----------
    seed
        Of how its columns hang together.
    width
        Columns.
    centre
        Of every column.
    """

    def __init__(self, seed: int, width: int = 24, centre: float = -5.0) -> None:
        random = np.random.default_rng([seed, 1])
        self.mixing = random.standard_normal((width, width)) / np.sqrt(width) * np.linspace(0.3, 3, width)
        self.centre = centre + random.standard_normal(width)
        self.width = width

    def draw(self, random: np.random.Generator, rows: int) -> NDArray[np.float32]:
        return np.asarray(random.standard_normal((rows, self.width)) @ self.mixing + self.centre, np.float32)


def encoder(width: int = 24, groups: int = 2, absolute: Collection[int] = ()) -> EncoderManifest:
    """Describe an encoder of equally wide groups of columns, some with a unit of their own; there is no graph."""
    edges = np.linspace(0, width, groups + 1).astype(int)
    return EncoderManifest(
        name="gaussian",
        sha256=ENCODER_SHA256,
        dimensions=width,
        groups={
            f"group_{number}": ColumnGroup(
                start=start, stop=stop, source="logmel", pooling="mean", absolute=number in absolute
            )
            for number, (start, stop) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        },
        frame_dimensions=1,
        frame_groups={"frame": ColumnGroup(start=0, stop=1, source="logmel", pooling="none")},
        frame_hop_s=0.03,
        description="synthetic vectors",
    )


def recordings(rows: int, held_out: bool = False, name: str = "fan") -> list[str]:
    """Name recording groups that are all held out, or none of them."""
    names = (f"{name}/{number:06d}" for number in count())
    return [next(group for group in names if is_held_out(group) == held_out) for _ in range(rows)]


def reference(
    vectors: NDArray[np.float32],
    machines: Sequence[str] | str = "fan/a",
    targets: Sequence[bool] | NDArray[np.bool_] | None = None,
    groups: Sequence[str] | None = None,
) -> Reference:
    """Make a reference set; every row is a recording of its own that is not held out, unless `groups` says else."""
    rows = len(vectors)
    empty = np.array([""] * rows)
    return Reference(
        vectors=vectors.astype(np.float32),
        targets=np.zeros(rows, bool) if targets is None else np.asarray(targets, bool),
        clips=np.array([f"{row:064x}" for row in range(rows)]),
        paths=np.array([f"{row}.wav" for row in range(rows)]),
        machines=np.array([machines] * rows if isinstance(machines, str) else list(machines)),
        domains=empty,
        splits=empty,
        groups=np.array(recordings(rows) if groups is None else list(groups)),
        starts_s=np.zeros(rows),
        ends_s=np.ones(rows),
        levels_db=np.full(rows, -30.0),
        encoder_name="gaussian",
        encoder_sha256=ENCODER_SHA256,
        sha256="cd" * 32,
    )


def join(*parts: Reference) -> Reference:
    """Put reference sets one after the other."""
    arrays = {
        key: np.concatenate([getattr(part, key) for part in parts])
        for key, value in vars(parts[0]).items()
        if isinstance(value, np.ndarray)
    }
    return Reference(
        **arrays, encoder_name=parts[0].encoder_name, encoder_sha256=parts[0].encoder_sha256, sha256=parts[0].sha256
    )


def site(seed: int, machines: int, rows: int, width: int = 24, apart: float = 3.0) -> tuple[list[Machine], Reference]:
    """Make several machines and a reference set of `rows` normals each, `fan/0`, `fan/1` and so on."""
    random = np.random.default_rng([seed, 2])
    made = [Machine(seed * 100 + number, width, centre=-5 + apart * number) for number in range(machines)]
    vectors = np.concatenate([machine.draw(random, rows) for machine in made])
    names = [f"fan/{number}" for number in range(machines) for _ in range(rows)]
    return made, reference(vectors, names)


def fitted(of: Reference, by: EncoderManifest) -> tuple[backends.MachineModel, ...]:
    """Fit the same models as training does, in float64: what the graph is compared with."""
    normals = of.select(~of.held_out & ~of.targets)
    groups = {name: group.columns for name, group in by.groups.items()}
    return backends.fit_site(
        normals.vectors.astype(np.float64),
        normals.machines.tolist(),
        normals.groups.tolist(),
        groups,
        absolute={name for name, group in by.groups.items() if group.absolute},
    )
