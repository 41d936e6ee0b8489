"""Which runs have changed since they were last looked at; found out without loading them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from motoko.store.internals.connections import when_changed, when_others_committed
from motoko.store.trees import records

if TYPE_CHECKING:
    from motoko.store.base import StudyBase


class RunChanges:
    """The runs of one study's connection that must be looked at again.

    With each commit the server names the records that were written; the connection passes them on
    when its view moves on. So no message of the bus is needed, and only changed records cost time.
    """

    def __init__(self, base: StudyBase) -> None:
        self._base = base
        self._records: dict[int, list[bytes]] = {}  # of the runs that were looked at
        self._run_of: dict[bytes, int] = {}
        self._changed: set[int] = set()
        when_others_committed(base.connection, self._note)
        # What is changed here may be kept in other records afterwards.
        when_changed(base.connection, lambda obj: self._note([obj._p_oid] if obj._p_oid else []))

    def among(self, numbers: Collection[int]) -> list[int]:
        """Those that were not seen yet, or have changed since; in their order."""
        for number in self._records.keys() - set(numbers):
            self._forget(number)
        return [n for n in numbers if n in self._changed or n not in self._records]

    def seen(self, number: int) -> None:
        """A run was looked at, in the connection's present view."""
        self._forget(number)
        run = self._base.runs.entries.get(number)
        if run is None:
            return  # looked for again the next time
        oids = [run._p_oid, *(record._p_oid for record in records(run.entries))]
        self._records[number] = oids
        self._run_of.update(dict.fromkeys(oids, number))

    def _forget(self, number: int) -> None:
        self._changed.discard(number)
        for oid in self._records.pop(number, ()):
            self._run_of.pop(oid, None)

    def _note(self, oids: Iterable[bytes] | None) -> None:
        if oids is None:
            self._changed.update(self._records)
            return
        self._changed.update(self._run_of[oid] for oid in oids if oid in self._run_of)
