"""A model trained on a reference made for a test."""

from __future__ import annotations

from pathlib import Path

from audio_pipeline.detector.training import train
from audio_pipeline.encoder import DEFAULT_ENCODER, read_manifest
from audio_pipeline.reference import Reference


def publish(artifacts: Path, reference: Reference, rate: float = 0.05, parent: str | None = None) -> str:
    """Train and publish; it does not serve yet. The reference may claim to be of an encoder that is not there."""
    encoder = read_manifest(DEFAULT_ENCODER).model_copy(update={"sha256": reference.encoder_sha256})
    return train(reference, encoder, artifacts, false_alarm_rate=rate, parent=parent).name
