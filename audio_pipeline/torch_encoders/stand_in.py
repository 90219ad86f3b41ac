"""The encoder that stands in until a trained one lands: `python -m audio_pipeline.torch_encoders.stand_in FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from audio_pipeline.torch_encoders.export import export_encoder
from audio_pipeline.torch_encoders.machine_encoder import FRAME_HOP_S, MachineEncoder, compact_config


def export_stand_in(folder: Path, seed: int = 0) -> None:
    """Export our network with the weights it is born with; only its log-mel statistics are scored."""
    torch.manual_seed(seed)
    export_encoder(
        MachineEncoder(compact_config()),
        folder,
        name=folder.name,
        frame_hop_s=FRAME_HOP_S,
        description="Stand-in: log-mel statistics beside a wav2vec2 transformer that was never trained.",
        source={"seed": seed, "made_by": "python -m audio_pipeline.torch_encoders.stand_in"},
        stand_in=True,
    )


if __name__ == "__main__":
    export_stand_in(Path(sys.argv[1]))
