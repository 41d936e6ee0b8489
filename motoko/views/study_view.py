"""A study as live views show it: read once, then kept up by the bus's messages. Pure logic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from motoko.bus.messages import Transition
from motoko.reports.overview import progress_column
from motoko.reports.pace import Pace
from motoko.reports.state_counts import StateCounts


@dataclass
class StudyView:
    """The counts of a study's runs.

    Attributes:
        name: the study.
        states: how many runs are in each state.
        pace: how fast runs end.
        tid: the newest transaction that they include.
        read_at: when they were read last, or found unchanged (seconds since 1970); ``None``: they
            are not known yet.
        problem: why they cannot be read; empty if they can.
        changes: grows with each change, so that a view knows that it must draw anew.
        reads: how often they were read: each time any run may have changed.
    """

    name: str
    states: Counter[str] = field(default_factory=Counter)
    pace: Pace = field(default_factory=Pace)
    tid: str = ""
    read_at: float | None = None
    problem: str = ""
    changes: int = 0
    reads: int = 0
    _read_tid: str = ""
    _meanwhile: list[Transition] | None = None

    def begin_reading(self) -> None:
        """The counts are about to be read: what comes meanwhile may be newer than they are."""
        self._meanwhile = []

    def read(self, counts: StateCounts, now: float) -> None:
        """The counts have been read."""
        if not self.read_at:
            self.pace = Pace(counts.ends)
        self.states, self.tid, self._read_tid = Counter(counts.states), counts.tid, counts.tid
        self.read_at, self.problem = now, ""
        meanwhile, self._meanwhile = self._meanwhile or [], None
        for change in meanwhile:
            self._count(change)
        self.changes += 1
        self.reads += 1

    def unchanged(self, now: float) -> None:
        """The files have not changed since they were read: the counts still stand."""
        if self.read_at is not None and not self.problem:
            self.read_at = now

    def failed_to_read(self, problem: str) -> None:
        """The counts could not be read; those known before remain."""
        self._meanwhile = None
        if problem != self.problem:
            self.problem = problem
            self.changes += 1

    def take(self, change: Transition, now: float) -> None:
        """A run's state has changed."""
        if self._meanwhile is not None:
            self._meanwhile.append(change)
        if self.read_at is not None and self._count(change):
            self.pace.ended(now)
        self.changes += 1

    @property
    def columns(self) -> Counter[str]:
        """How many runs each of ``motoko.reports.overview.COLUMNS`` counts."""
        counts: Counter[str] = Counter()
        for state, number in self.states.items():
            counts[progress_column(state)] += number
        return counts

    def left(self, now: float) -> float | None:
        """Seconds until the present runs will have ended, by their pace; ``None`` if unknown."""
        counts = self.columns
        return self.pace.left(counts["created"] + counts["running"], now)

    def _count(self, change: Transition) -> bool:
        """Count a change that was not read. Returns whether it is the end of a run."""
        if change.tid <= self._read_tid:
            return False
        self.tid = max(self.tid, change.tid)
        if change.old is not None and self.states[change.old] > 0:
            self.states[change.old] -= 1
        if change.new is not None:
            self.states[change.new] += 1
        if change.old is None or change.new is None:
            return False
        return _is_over(change.new) and not _is_over(change.old)


def _is_over(state: str) -> bool:
    return progress_column(state) in ("finished", "failed")
