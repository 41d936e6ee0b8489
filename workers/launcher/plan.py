"""What a launcher's pass does: decided from a snapshot of facts. Pure.

A pass commits the ends of runs and the starts of others in one transaction. Runs of a few
milliseconds are committed ahead of their slots, and their ends a little later, several together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from motoko.runs.ends import End
from motoko.workers.launcher.agenda import News
from motoko.workers.launcher.ahead import LINGER_S


@dataclass(frozen=True)
class Facts:
    """What is known before a pass. Times are monotonic, in seconds.

    Attributes:
        now: the time.
        paused: whether nothing may be started now.
        waiting: whether there are runs to be started, now or later.
        is_low: whether few prepared runs are left, so that the next ones must be prepared.
        late: runs that are prepared, and have waited for room for too long.
        news: what has happened and is not committed yet.
    """

    now: float
    paused: bool
    waiting: bool
    is_low: bool
    late: Sequence[int]
    news: News

    @property
    def may_start(self) -> bool:
        """Whether some waiting runs may be started, or prepared ahead of their slots."""
        return self.waiting and self.is_low and not self.paused

    @property
    def may_settle(self) -> bool:
        """Whether there is news to be committed now, without waiting for more."""
        if self.news.changed or self.news.unstarted:
            return True
        if self.news.first_end is None or self.is_low:
            return bool(self.news.ended)
        return self.now >= self.news.first_end + LINGER_S

    @property
    def is_due(self) -> bool:
        """Whether there is anything that is worth a transaction."""
        return self.may_settle or bool(self.late) or self.may_start


@dataclass(frozen=True)
class Candidate:
    """A run whose turn it is to start.

    Attributes:
        width: how many slots it takes, at most all of them.
        is_unstarted: an earlier launcher has marked it ``launched``, and has not started it.
        can_start: whether it can start if there is room. If not, it needs none: preparing it finds
            out why.
    """

    number: int
    width: int = 1
    is_unstarted: bool = False
    can_start: bool = True


@dataclass(frozen=True)
class Plan:
    """What one transaction will write, and what is done after it. Runs by number.

    Attributes:
        end: attempts that have ended; change: entries to be set.
        give_back: prepared runs that become CREATED again: they have waited for room for too long,
            or could not be started.
        start: runs that start, with the index of their place; ``None``: they cannot start.
        prepare: runs that are prepared now, and start when there is room.
    """

    end: Mapping[int, End] = field(default_factory=dict)
    change: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    give_back: Sequence[int] = ()
    start: Mapping[int, int | None] = field(default_factory=dict)
    prepare: Sequence[int] = ()

    @property
    def does_something(self) -> bool:
        """Whether the plan changes anything."""
        return bool(self.end or self.change or self.give_back or self.start or self.prepare)


def widths(candidates: Sequence[Candidate]) -> list[int]:
    """The numbers of slots to ask an executor for: those that candidates take, in their order."""
    return [candidate.width for candidate in candidates if candidate.can_start]


def plan(facts: Facts, candidates: Sequence[Candidate], places: int, spare: int) -> Plan:
    """What a pass does.

    Args:
        facts: what is known.
        candidates: the runs whose turn it is, in their order.
        places: for how many of them there is room.
        spare: how many more may be prepared ahead of their slots.
    """
    start: dict[int, int | None] = {}
    prepare: list[int] = []
    taken = 0
    for candidate in candidates:
        if not candidate.can_start:
            start[candidate.number] = None  # there is nothing to wait for
        elif taken < places:
            start[candidate.number] = taken
            taken += 1
        elif candidate.is_unstarted or candidate.width > 1 or len(prepare) >= spare:
            break
        else:
            prepare.append(candidate.number)
    give_back = sorted({*facts.late, *facts.news.unstarted})
    return Plan(facts.news.ended, facts.news.changed, give_back, start, prepare)
