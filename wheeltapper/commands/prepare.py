"""`wheeltapper prepare`: a model to serve where there is none, before the service starts.

Here: the command, for containers and for whoever wants it without `wheeltapper run`. Not here: how it is made (`demo`).
"""

from __future__ import annotations

from serve.settings import load_settings
from wheeltapper import demo


def prepare() -> None:
    """Train a first model, from the reference in the data folder or else from the demo recordings.

    Does nothing when a model serves already.
    """
    settings = load_settings()
    demo.prepare(settings.data_dir, settings.artifacts_dir)
