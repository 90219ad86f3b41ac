"""Figures and moments as a person reads them: decimal comma in French, the browser's time zone, "unknown" for unknown.

Here: text of single values; what others wrote, made safe to show. Not here: sentences (`wording`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from portal.texts import Texts

# A band from here to there is all that a clip of 16 kHz has.
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 7_500.0


@dataclass(frozen=True)
class Formats:
    r"""How one person reads figures.

    Attributes
    ----------
    texts
        The language.
    zone
        Where the person is.

    Examples
    --------
    >>> french = Formats(Texts("fr"), ZoneInfo("Europe/Paris"))
    >>> french.number(2.4296), french.percent(0.032), french.percent(None)
    ('2,43', '3,2\xa0%', 'inconnu')
    >>> french.moment(datetime(2026, 11, 23, 23, 20, tzinfo=UTC))
    '24/11/2026 00:20'
    """

    texts: Texts
    zone: tzinfo = UTC

    def number(self, value: float | None, digits: int = 2) -> str:
        """Say a figure with so many decimals."""
        return self._unknown() if value is None else self._localised(f"{value:.{digits}f}")

    def percent(self, share: float | None) -> str:
        """Say a share in percent, two significant digits."""
        if share is None:
            return self._unknown()
        percent = 100 * share
        digits = 0 if percent >= 10 or percent == 0 else 1 if percent >= 1 else 2
        space = "\u00a0" if self.texts.language == "fr" else ""
        return f"{self._localised(f'{percent:.{digits}f}')}{space}%"

    def interval(self, bounds: Sequence[float] | None) -> str:
        """Say a 95 % interval of a share; nothing when there is none."""
        if bounds is None:
            return ""
        return self.texts("format.interval", low=self.percent(bounds[0]), high=self.percent(bounds[1]))

    def seconds(self, value: float) -> str:
        """Say a length of sound."""
        if value < 120:
            return f"{self._localised(f'{value:.1f}')} s"
        return f"{int(value // 60)} min {int(value % 60):02d} s"

    def decibels(self, change: float) -> str:
        """Say a change of level with its sign."""
        return f"{self._localised(f'{change:+.0f}')} dB"

    def hertz(self, low: float, high: float) -> str:
        """Say a band of frequencies."""
        if low < _LOWEST_HZ and high > _HIGHEST_HZ:
            return self.texts("format.all_frequencies")
        if high < 1000:
            return f"{low:.0f}–{high:.0f} Hz"
        top = f"{self._localised(f'{high / 1000:.1f}')} kHz"
        if low < 100:  # 0.0 kHz would be said to begin at nothing
            return f"{low:.0f} Hz–{top}"
        return f"{self._localised(f'{low / 1000:.1f}')}–{top}"

    def size(self, count: int) -> str:
        """Say a number of bytes."""
        if count < 1000:
            return f"{count} B"
        for unit in ("kB", "MB"):
            count_in_unit = count / (1000 if unit == "kB" else 1_000_000)
            if count_in_unit < 1000:
                break
        return f"{self._localised(f'{count_in_unit:.0f}' if count_in_unit >= 10 else f'{count_in_unit:.1f}')} {unit}"

    def moment(self, at: datetime | None, seconds: bool = False) -> str:
        """Say a moment in the person's own time."""
        if at is None:
            return self._unknown()
        pattern = self.texts("format.moment") + (":%S" if seconds else "")
        return at.astimezone(self.zone).strftime(pattern)

    def clock(self, at: datetime) -> str:
        """Say the time of day."""
        return at.astimezone(self.zone).strftime("%H:%M:%S")

    def machine(self, machine: str) -> str:
        """Name a machine; the empty name is an unknown one."""
        return machine or self.texts("machine.unknown")

    def _unknown(self) -> str:
        return self.texts("format.unknown")

    def _localised(self, figure: str) -> str:
        return figure.replace(".", ",") if self.texts.language == "fr" else figure


def plain(text: str) -> str:
    """Return what somebody else wrote (the name of a file, a machine, a person) as Markdown without markup."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+-.!|$:~<>" else letter for letter in text)


def zone_named(name: str | None) -> tzinfo:
    """Return the time zone of that name, UTC when it is not known here."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):  # a system without the tables, or a name that is none
        return UTC
