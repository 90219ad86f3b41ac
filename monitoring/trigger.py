"""When monitoring asks for a retraining: once for each thing that goes wrong, and again only after it was right.

Here: the hysteresis, as a pure function. Not here: what is wrong (`drift`, `quality`), asking (`look`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CALM_LOOKS = 2
"""Looks in a row without a trace of it after which an alarm is over."""


@dataclass(frozen=True)
class Alarms:
    """What has been reported and is not over, with the calm looks since.

    Attributes
    ----------
    about
        Reference and encoder that the alarms are about: with others, everything begins anew.
    calm
        Name of an alarm → calm looks in a row.
    """

    about: str = ""
    calm: Mapping[str, int] = field(default_factory=dict)


def next_alarms(
    before: Alarms, about: str, wrong: Iterable[str], undecided: Iterable[str] = ()
) -> tuple[Alarms, list[str]]:
    """Go one look further.

    Parameters
    ----------
    before
        After the look before.
    about
        See `Alarms`; empty: it cannot be read at this moment, and is taken for the same.
    wrong
        Names of what is wrong now.
    undecided
        Names of what may be: neither a new alarm nor calm.

    Returns
    -------
    after, new
        The alarms after this look, and the names to act upon now.

    Examples
    --------
    >>> alarms, new = next_alarms(Alarms(), "r", ["fan/id_00"])
    >>> new, next_alarms(alarms, "r", ["fan/id_00"])[1]
    (['fan/id_00'], [])
    >>> for _ in range(2):
    ...     alarms, _ = next_alarms(alarms, "r", [])
    >>> next_alarms(alarms, "r", ["fan/id_00"])[1]
    ['fan/id_00']
    """
    about = about or before.about
    known = dict(before.calm) if before.about == about else {}
    wrong, undecided = list(wrong), set(undecided)
    new = [name for name in wrong if name not in known]
    after = {name: calm if name in undecided else calm + 1 for name, calm in known.items()}
    after |= dict.fromkeys(wrong, 0)
    return Alarms(about, {name: calm for name, calm in after.items() if calm < CALM_LOOKS}), new
