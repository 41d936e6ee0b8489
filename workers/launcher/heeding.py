"""Looks at the runs that are executed for what others have written on them: cancellations, say.

Runs write their own states all the time. So a launcher looks at once after a while in which nothing
was written, and otherwise at several changes together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from motoko.runs.ends import cancelled_reason
from motoko.runs.entries import OwnEntries
from motoko.runs.states import FAILED, FAILED_STATES, FINISHED, LAUNCHED, WAITING_STATES, state_of
from motoko.store.base import StudyBase
from motoko.store.changed_runs import RunChanges
from motoko.store.transactions import atomically
from motoko.workers.launcher.executors import Executors

PAUSE_S = 0.25  # from one look to the next, at least, unless something is known to have happened


class Heeding:
    """Heeds what others have written on the runs of some executors.

    Args:
        base: the study's base.
        executors: have the runs.
        between: called again and again while runs are looked at.
    """

    def __init__(self, base: StudyBase, executors: Executors, between: Callable[[], None]) -> None:
        self._base = base
        self._executors = executors
        self._between = between
        self._changes = RunChanges(base)
        self._heeded: object = None  # the transactions that were known at the last look,
        self._had: object = None  # and the executors' runs
        self._not_before = 0.0

    def due_in(self, tid: bytes) -> float | None:
        """In how many seconds to look, if nothing happens; ``None`` if nothing was written.

        ``tid`` is the newest transaction that is known.
        """
        if not self._executors.has_runs:
            return None
        if (tid, self._base.tid) == self._heeded and self._executors.present == self._had:
            return None
        if self._executors.local.handed_over:
            return 0.0  # other processes set their final states, and somebody waits for that
        return max(0.0, self._not_before - time.monotonic())

    async def look_if_due(self, tid: bytes, *, at_once: bool) -> None:
        """Look, in a view as new as ``tid``, if it is due; ``at_once``: if anything was written."""
        due_in = self.due_in(tid)
        if due_in is None or (due_in > 0 and not at_once):
            return
        heeded, had = (tid, self._base.tid), self._executors.present
        await atomically(self._base, self._look, tid)
        self._heeded, self._had = heeded, had
        self._not_before = time.monotonic() + PAUSE_S

    def _look(self) -> None:
        """End runs that were cancelled, which no state may tell; look at those handed over."""
        local = self._executors.local
        for number in local.handed_over:
            run = self._base.runs.entries.get(number)
            state = FAILED if run is None else state_of(run.entries)
            if state == FINISHED or state in FAILED_STATES or state in WAITING_STATES:
                local.hand_back(number)
        changed, runs = self._changes.among(self._executors.runs), self._base.runs.entries
        for number, run in self._base.loaded((n, runs.get(n)) for n in changed):
            self._between()
            who = OwnEntries(run.entries).cancelled_by if run is not None else None
            executor = self._executors.of(number)
            if executor is not None and who:
                executor.end(number, cancelled_reason(who), final=True)
            elif executor is not None and (run is None or state_of(run.entries) != LAUNCHED):
                executor.ahead.drop(number)
            self._changes.seen(number)
