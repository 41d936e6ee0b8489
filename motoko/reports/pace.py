"""How fast a study's runs end, and how long the others will take. Pure logic."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from motoko.host.durations import uptime

WINDOW_S = 60.0
ENOUGH = 20  # ends; if there were fewer within the window, earlier ends count, too
KEPT = 600  # seconds in which runs have ended


class Pace:
    """The ends of runs, second by second.

    Args:
        ends: the moments of ends (seconds since 1970) that are known already, in any order.
    """

    def __init__(self, ends: Iterable[float] = ()) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=KEPT)
        for at in sorted(ends):
            self.ended(at)

    def ended(self, at: float) -> None:
        """Note that a run has ended (seconds since 1970)."""
        second = int(at)
        if self._seconds and self._seconds[-1][0] >= second:
            last, count = self._seconds[-1]
            self._seconds[-1] = last, count + 1
        else:
            self._seconds.append((second, 1))

    def rate(self, now: float) -> float | None:
        """Ends a second, lately; ``None`` if too few are known.

        The longer nothing ends, the lower it is.
        """
        count, first = 0, now
        for second, ended in reversed(self._seconds):
            if count >= ENOUGH and now - second > WINDOW_S:
                break
            count, first = count + ended, float(second)
        return (count - 1) / max(now - first, 1.0) if count > 1 else None

    def left(self, unended: int, now: float) -> float | None:
        """Seconds until this many runs will have ended at this rate; ``None`` if unknown."""
        rate = self.rate(now)
        return unended / rate if rate and unended else None


def rate_text(rate: float | None) -> str:
    """A rate for people: ``3.2/s``, ``12/min``, ``5/h``."""
    if rate is None:
        return "-"
    units = (("s", 1), ("min", 60), ("h", 3600), ("d", 86400))
    unit, seconds = next((unit for unit in units if rate * unit[1] >= 1), units[-1])
    number = rate * seconds
    return f"{number:.0f}/{unit}" if number >= 9.95 else f"{number:.1f}/{unit}"


def left_text(seconds: float | None) -> str:
    """A time left for people, with ``~``: it is an estimate."""
    return "-" if seconds is None else f"~{uptime(max(1.0, seconds))}"
