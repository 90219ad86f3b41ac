"""Where mel bands lie: what embeddings hold of a spectrum, on an axis of frequencies.

librosa tells the same (a test compares them), and would bring numba along to where clips are served.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def slaney_centres(count: int, top_hz: float) -> NDArray[np.float64]:
    """Return float64[count]: centres in Hz of mel bands on Slaney's scale, as librosa's and the encoder's are."""
    knee, step = 15.0, np.log(6.4) / 27
    top = knee + np.log(top_hz / 1000) / step if top_hz > 1000 else top_hz * 3 / 200
    mels = np.linspace(0, top, count + 2)[1:-1]
    return np.where(mels < knee, mels * 200 / 3, 1000 * np.exp(step * (mels - knee)))
