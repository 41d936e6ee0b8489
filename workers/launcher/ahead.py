"""Runs that are marked ``launched`` before there are slots for them. Pure.

If runs take a few milliseconds, their slots would be idle while the next ones are prepared and
committed, and each run would cost commits of its own. So some runs are prepared ahead, and start
the moment that slots are free: as many as are likely to start soon, and none if runs take longer.
"""

from __future__ import annotations

from motoko.workers.launcher.preparing import Prepared

AHEAD_S = 0.25  # prepare only as many runs as will probably start within this time
AHEAD_MAX = 32
PATIENCE_S = 1.0  # runs that wait longer become CREATED again: the running ones take their time
LINGER_S = 0.05  # how long an end waits for others, to be committed together, while slots are busy
WEIGHT = 0.2  # of the newest run, in the mean


class Ahead:
    """The prepared runs of a launcher that wait for slots, oldest first.

    Args:
        slots: how many slots there are.

    Attributes:
        runs: the runs that wait, by number.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self.runs: dict[int, Prepared] = {}
        self._until: dict[int, float] = {}  # when each has waited too long
        self._mean: float | None = None  # seconds a run

    def has_taken(self, seconds: float) -> None:
        """Note how long a run that has ended took."""
        seconds = max(0.0, seconds)
        self._mean = seconds if self._mean is None else self._mean + WEIGHT * (seconds - self._mean)

    @property
    def room(self) -> int:
        """How many runs should wait in all."""
        if self._mean is None:
            return 0
        return min(AHEAD_MAX, int(self._slots * AHEAD_S / max(self._mean, 1e-4)))

    @property
    def spare(self) -> int:
        """How many more runs may be prepared."""
        return max(0, self.room - len(self.runs))

    @property
    def is_low(self) -> bool:
        """Whether it is time to prepare the next runs."""
        return not self.runs or 2 * len(self.runs) <= self.room

    def add(self, run: Prepared, now: float) -> None:
        """Let a prepared run wait from ``now`` (seconds, monotonic) on."""
        self.runs[run.run_id] = run
        self._until[run.run_id] = now + PATIENCE_S

    @property
    def first(self) -> Prepared:
        """The run to start next."""
        return next(iter(self.runs.values()))

    def drop(self, number: int) -> None:
        """Remove a run."""
        self.runs.pop(number, None)
        self._until.pop(number, None)

    def next_at(self) -> float | None:
        """When the first run will have waited too long; ``None`` if none waits."""
        return min(self._until.values(), default=None)

    def late(self, now: float, *, at_once: bool = False) -> list[int]:
        """The runs that must become CREATED again: all, if one has waited too long."""
        first = self.next_at()
        if first is None or (first > now and not at_once):
            return []
        self._mean = None
        return list(self.runs)
