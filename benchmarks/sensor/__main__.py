"""What the sensor check says: `python -m benchmarks.sensor [../shared/data]`.

First about the recordings that there are: findings a set, as stored. Then about defects made on purpose in sound real
recordings, each at several strengths, from hardly there to gross: in what share of the clips it is named, and what else
is named beside it. Written to RESULTS.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from audio_pipeline.clip import Clip, read
from audio_pipeline.errors import ClipError
from audio_pipeline.sensor import SensorProbe, SensorReport, check

HERE = Path(__file__).parent
RATE = 16_000
Samples = NDArray[np.float32]
Channels = NDArray[np.float32]
"""float32[n, channels]."""

SETS = (
    "mimii_fan_id00",
    "dcase2020_id00",
    "uav_propeller",
    "mimii_m6dB",
    "dcase_valve",
    "unlabelled/drone_helicopter",
    "unlabelled/motor_propeller",
    "unlabelled/drone_ego",
)
SOUND = ("mimii_m6dB", "dcase_valve", "uav_propeller")
"""Sets that defects are made in."""
_CLIPS = 40


def clipped(samples: Samples, share: float) -> Channels:
    """So loud that this share of the samples is cut off."""
    top = float(np.quantile(np.abs(samples), 1 - share))
    return np.asarray(np.clip(samples / top, -1, 1), np.float32)[:, None]


def dropouts(samples: Samples, length_ms: float) -> Channels:
    """Three holes of digital silence."""
    out, size = samples.copy(), round(length_ms * RATE / 1000)
    for start in np.linspace(0.2, 0.8, 3):
        out[int(start * len(out)) :][:size] = 0
    return out[:, None]


def dead_channel(samples: Samples, level: float) -> Channels:
    """A second channel that hears nothing but a little noise, at this level beside the first."""
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    usual = float(np.sqrt(np.mean(samples**2)))
    return np.stack([samples, noise * np.float32(usual * level)], axis=1)


def offset(samples: Samples, share: float) -> Channels:
    """A constant added, in shares of full scale."""
    return (samples + np.float32(share))[:, None]


def hum(samples: Samples, level_db: float) -> Channels:
    """Mains at 50 Hz with its overtones, beside the recording's level."""
    t = np.arange(len(samples)) / RATE
    mains = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 9))
    usual = float(np.sqrt(np.mean(samples**2)))
    return (samples + mains * usual * 10 ** (level_db / 20) / np.std(mains)).astype(np.float32)[:, None]


def narrowed(samples: Samples, cutoff_hz: float) -> Channels:
    """Recorded at a lower rate, and upsampled."""
    lower = soxr.resample(soxr.resample(samples, RATE, 2 * cutoff_hz), 2 * cutoff_hz, RATE)
    return np.asarray(lower, np.float32)[:, None]


DEFECTS: tuple[tuple[str, Callable[[Samples, float], Channels], str, tuple[float, ...]], ...] = (
    ("clipping", clipped, "share cut off", (0.0001, 0.001, 0.01, 0.1)),
    ("dropouts", dropouts, "ms each", (1, 5, 20, 100)),
    ("dead_channel", dead_channel, "level beside the other channel", (0.1, 0.01, 0.001, 0.0)),
    ("dc_offset", offset, "share of full scale", (0.001, 0.01, 0.05, 0.2)),
    ("mains_hum", hum, "dB beside the recording", (-20, -10, 0, 10)),
    ("bandwidth", narrowed, "Hz upper edge", (7000, 6000, 4000, 2000)),
)


def examined(channels: Channels) -> SensorReport:
    """Check a recording as if it had been decoded from 16 bits."""
    stored = np.asarray(np.round(np.clip(channels, -1, 1) * 32767) / 32768, np.float32)
    probe = SensorProbe(RATE, stored.shape[1])
    probe.add(stored, stored.mean(axis=1))
    return check(probe.evidence())


def stored_sets(data: Path) -> list[str]:
    """A line a set: how many recordings, what was found in them."""
    lines = ["| set | recordings | findings |", "|---|---|---|"]
    for name in SETS:
        found: Counter[str] = Counter()
        clips: list[Clip] = []
        for path in sorted((data / name).rglob("*.*")):
            if path.suffix.lower() in (".flac", ".wav"):
                try:
                    clips.append(read(path))
                except ClipError as error:
                    found[f"refused: {error.code}"] += 1
        for clip in clips:
            found.update(finding.code for finding in check(clip.sensor).findings)
        told = ", ".join(f"{code} in {count}" for code, count in found.most_common()) or "none"
        lines.append(f"| {name} | {len(clips)} | {told} |")
    return lines


def made_defects(data: Path) -> list[str]:
    """A line a defect and strength: share of clips in which it is named, and what else is."""
    sounds = []
    for name in SOUND:
        paths = sorted((data / name).rglob("*.flac"))
        sounds += [read(path).samples for path in paths[:: max(1, len(paths) // (_CLIPS // len(SOUND)))]]
    sounds = [samples for samples in sounds[:_CLIPS] if not examined(samples[:, None]).findings]
    lines = [
        f"{len(sounds)} sound recordings.",
        "",
        "| defect | strength | found | worthless verdict | named beside it |",
    ]
    lines.append("|---|---|---|---|---|")
    for code, make, unit, strengths in DEFECTS:
        for strength in strengths:
            reports = [examined(make(samples, strength)) for samples in sounds]
            hits = sum(any(finding.code == code for finding in report.findings) for report in reports)
            fatal = sum(not report.ok for report in reports)
            others = Counter(f.code for report in reports for f in report.findings if f.code != code)
            told = ", ".join(f"{name} in {count}" for name, count in others.most_common()) or "nothing"
            count = len(sounds)
            lines.append(f"| {code} | {strength:g} {unit} | {hits / count:.0%} | {fatal / count:.0%} | {told} |")
    return lines


def full_scale(data: Path) -> str:
    """Say what lies at full scale in the drone's own microphones, said to be clipped."""
    most, longest = Counter[int](), 0
    for path in sorted((data / "unlabelled" / "drone_ego").rglob("*.*")):
        if path.suffix.lower() not in (".flac", ".wav"):
            continue
        samples = read(path).samples
        at_top = np.abs(samples) >= np.abs(samples).max() - 1 / 32768
        edges = np.flatnonzero(np.diff(np.concatenate([[0], at_top.view(np.int8), [0]])))
        longest = max(longest, int((edges[1::2] - edges[::2]).max()))
        most[int(at_top.sum())] += 1
    counts = ", ".join(f"{count} in {files} files" for count, files in sorted(most.items()))
    return (
        f"`unlabelled/drone_ego` is described as mostly clipped. Samples at each file's highest level: {counts}; the "
        f"longest run of them is {longest} samples. Flat tops, which clipping leaves, would be runs: as stored, the "
        "files are scaled to their peak, and if they were clipped before that, resampling or coding has rounded it off."
    )


def main() -> None:
    """Measure, print, write RESULTS.md."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", type=Path, nargs="?", default=HERE.parents[2] / "shared" / "data")
    data = options.parse_args().data
    text = "\n".join(
        [
            "# The sensor check",
            "",
            "`python -m benchmarks.sensor`; what is measured: its docstring.",
            "",
            "## Recordings as they are",
            "",
            *stored_sets(data),
            "",
            full_scale(data),
            "",
            "## Defects made on purpose",
            "",
            *made_defects(data),
            "",
        ]
    )
    (HERE / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
