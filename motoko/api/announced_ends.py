"""Wakes an ``await`` of runs as soon as a study's server announces their ends, ahead of the bus.

The bus tells of each end as well. It tells more: of states that a run has only passed through, and
of failures, about which handlers are asked first. So here only runs count that are FINISHED.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from motoko.runs.states import WAITING_STATES, state_of

if TYPE_CHECKING:
    import asyncio

    from motoko.bus.waiters import RunKey, Waiter
    from motoko.store.announced_records import Announcement
    from motoko.store.base import StudyBase
    from motoko.store.bd_objects import RunZEO

MANY = 1_000  # of so many runs, no single one is waited for


class AnnouncedEnds:
    """The runs of one ``await`` whose records were written since they were last looked at.

    Args:
        waiter: is woken.
        loop: the event loop in which it waits.
        pending: the runs that are awaited.
    """

    def __init__(
        self, waiter: Waiter, loop: asyncio.AbstractEventLoop, pending: Mapping[RunKey, RunZEO]
    ) -> None:
        self._waiter = waiter
        self._loop = loop
        self._pending = pending
        self._thread = threading.get_ident()
        self._records: dict[RunKey, tuple[StudyBase, list[bytes]]] = {}
        self._unstarted: set[RunKey] = set()  # their next change will be their start
        self._changed: dict[RunKey, bytes] = {}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while the block runs."""
        try:
            if len(self._pending) <= MANY:
                self.expect(self._pending)
            yield
        finally:
            for key in list(self._records):
                self._ignore(key)

    def expect(self, keys: Iterable[RunKey]) -> None:
        """These runs have been looked at: listen to the records that they have now."""
        from motoko.store.announced_records import records_of_state

        for key in keys:
            self._ignore(key)
            if (run := self._pending.get(key)) is None:
                continue
            oids = records_of_state(run.entries)
            if state_of(run.entries) in WAITING_STATES:
                self._unstarted.add(key)
            self._records[key] = run.base, oids
            run.base.announcements.listen(oids, self._on_announcement, key)

    def take(self) -> dict[RunKey, bytes]:
        """The runs that have changed, with the transaction; there are none left here."""
        changed, self._changed = self._changed, {}
        return changed

    def _ignore(self, key: RunKey) -> None:
        self._unstarted.discard(key)
        if (known := self._records.pop(key, None)) is not None:
            base, oids = known
            base.announcements.ignore(oids, self._on_announcement)

    def _on_announcement(self, announcement: Announcement) -> None:
        keys = set(announcement.keys)
        starting = keys & self._unstarted
        self._unstarted -= starting
        if keys > starting:
            is_here = threading.get_ident() == self._thread
            call = self._loop.call_soon if is_here else self._loop.call_soon_threadsafe
            with contextlib.suppress(RuntimeError):  # the loop has ended
                call(self._wake, announcement.tid, keys - starting)

    def _wake(self, tid: bytes, keys: set[RunKey]) -> None:
        self._changed.update(dict.fromkeys(keys, tid))
        self._waiter.event.set()
