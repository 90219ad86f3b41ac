"""Few rows in the place of many, so that memory and time stay bounded however large a reference grows.

Here: choosing them; numpy alone, because the service reads answers through this, too. Not here: what is made of them
(`backends`, `supervision`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def coreset(rows: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Choose rows that leave none far from a chosen one: greedy k-centre (Gonzalez, 1985), from the most central on.

    Returns
    -------
    NDArray
        int64[min(n, count)], in order of choice.
    """
    if len(rows) <= count:
        return np.arange(len(rows))
    sizes = (rows**2).sum(1)
    chosen, reach = [int(sizes.argmin())], np.full(len(rows), np.inf)
    while len(chosen) < count:
        last = chosen[-1]
        reach = np.minimum(reach, sizes + sizes[last] - 2 * (rows @ rows[last]))
        reach[last] = -np.inf  # rounding may leave it a little above 0, and its twins below
        chosen.append(int(reach.argmax()))
    return np.array(chosen)
