"""Runs that are marked ``launched`` before there are slots for them. Pure.

Runs of a few milliseconds would leave their slots idle while the next ones are prepared and
committed, and each would cost commits of its own. So some are prepared ahead, and start the moment
that slots are free: as many as are likely to start at once, none where runs take longer.
"""

from __future__ import annotations

from motoko.workers.launcher.preparing import Prepared

AHEAD_S = 0.05  # no run is to be marked so much earlier than it starts
AHEAD_MAX = 16
PATIENCE_S = 1.0  # those that wait longer are CREATED again: what runs now takes its time
LINGER_S = 0.02  # how long an end waits for others, to be committed together, while slots are busy
WEIGHT = 0.2  # of the newest run, in the mean


class Ahead:
    """The prepared runs of a launcher that wait for slots, oldest first.

    Args:
        slots: how many slots there are.

    Attributes:
        runs: those that wait, by number.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self.runs: dict[int, Prepared] = {}
        self._until: dict[int, float] = {}  # when each has waited too long
        self._mean: float | None = None  # seconds a run

    def has_taken(self, seconds: float) -> None:
        """A run has ended that took so long."""
        seconds = max(0.0, seconds)
        self._mean = seconds if self._mean is None else self._mean + WEIGHT * (seconds - self._mean)

    @property
    def room(self) -> int:
        """How many are to wait, those included that do."""
        if self._mean is None:
            return 0
        return min(AHEAD_MAX, int(self._slots * AHEAD_S / max(self._mean, 1e-4)))

    @property
    def spare(self) -> int:
        """How many more are to wait."""
        return max(0, self.room - len(self.runs))

    @property
    def is_low(self) -> bool:
        """Whether the next ones are to be prepared."""
        return not self.runs or 2 * len(self.runs) <= self.room

    def add(self, run: Prepared, now: float) -> None:
        """It waits from now (seconds, monotonic) on."""
        self.runs[run.run_id] = run
        self._until[run.run_id] = now + PATIENCE_S

    @property
    def first(self) -> Prepared:
        """The one to start next."""
        return next(iter(self.runs.values()))

    def drop(self, number: int) -> None:
        """It waits no more."""
        self.runs.pop(number, None)
        self._until.pop(number, None)

    def next_at(self) -> float | None:
        """When the first has waited too long."""
        return min(self._until.values(), default=None)

    def late(self, now: float, *, at_once: bool = False) -> list[int]:
        """All, if one has waited too long: they are to be CREATED again."""
        first = self.next_at()
        if first is None or (first > now and not at_once):
            return []
        self._mean = None
        return list(self.runs)
