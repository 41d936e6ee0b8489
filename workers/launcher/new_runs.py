"""Finds runs that have just been created as soon as the study's server announces them.

The bus tells of them as well, some milliseconds later: whatever is not found here comes from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from motoko.bus.messages import Transition
from motoko.store.announced_records import Announcement
from motoko.store.base import StudyBase
from motoko.store.trees import children

FEW_RECORDS = 24  # those of a transaction that makes one run, or a few


class NewRuns:
    """The runs of one study that were created since the last look.

    Args:
        base: the study's base.
        wake: called, in the event loop that runs when this began, when a look is due.
    """

    def __init__(self, base: StudyBase, wake: Callable[[], None]) -> None:
        self._base = base
        self._wake = wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last = -1
        self._ends: list[bytes] = []  # the records into which the next runs will be written
        self._announced: deque[Announcement] = deque()
        self._unheard: set[int] = set()  # found here; the bus has not told of them yet

    def _on_announcement(self, announcement: Announcement) -> None:
        # This is not the thread of the loop.
        self._announced.append(announcement)
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._wake)

    @property
    def due(self) -> bytes | None:
        """The transaction that has made new runs, if there was one since the last look."""
        return self._announced[-1].tid if self._announced else None

    def begin(self) -> None:
        """Look for those that are created after the present view."""
        self._loop = asyncio.get_running_loop()
        nodes = [self._base.runs.entries]
        while nodes:  # the tree of all runs is read: a level at a time, not a leaf
            nodes = [below for node in nodes for below in children(node)]
            self._base.prefetch(nodes)
        self._look()
        self.forget()

    def take(self) -> list[int]:
        """New runs, in a view as new as ``due``; if they are few, they are loaded at once."""
        hints: set[bytes] = set()
        while self._announced and self._announced[0].tid <= self._base.tid:
            oids = self._announced.popleft().oids
            hints.update(oids if len(oids) <= FEW_RECORDS else ())
        if len(hints) > 1:
            self._base.connection.prefetch(list(hints))
        numbers = self._look()
        self._unheard.update(numbers)
        return numbers

    def _look(self) -> list[int]:
        runs = self._base.runs.entries
        numbers = list(runs.keys(self._last, excludemin=True))
        self._last = max(numbers, default=self._last)
        leaf = runs
        while below := children(leaf):
            leaf = below[-1]
        ends = [node._p_oid for node in (runs, leaf)]
        if ends != self._ends:
            self._base.announcements.ignore(self._ends, self._on_announcement)
            self._base.announcements.listen(ends, self._on_announcement)
            self._ends = ends
        return numbers

    def has(self, change: Transition) -> bool:
        """Whether the bus tells of the creation of a run that was found here."""
        if change.old is not None or change.run_id not in self._unheard:
            return False
        self._unheard.discard(change.run_id)
        return True

    def forget(self) -> None:
        """All runs are looked at anew: the bus may not tell of those that were found here."""
        self._unheard.clear()
