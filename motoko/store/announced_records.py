"""What a study's server announces to this process's own connection: at once, before any bus can.

With each commit the server names the records that were written. Who knows in which record to expect
news hears of it here, without a message of the bus. As ever, that only wakes: it may come late, or
not at all, and what has happened is in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.store.trees import is_tree, places


@dataclass(frozen=True)
class Announcement:
    """A transaction that others have committed.

    Attributes:
        tid: the transaction; oids: all records that it has written.
        keys: what the listener has named those among them that it listens to.
    """

    tid: bytes
    oids: Sequence[bytes]
    keys: Sequence[Any]


Tell = Callable[[Announcement], None]
"""Called on the thread that receives the server's messages: it must not wait, nor call a server."""


class Announcements:
    """Who listens to which records of one storage."""

    def __init__(self) -> None:
        self._listeners: dict[bytes, dict[Tell, Hashable]] = {}

    def listen(self, oids: Iterable[bytes], tell: Tell, key: Hashable = None) -> None:
        """Have ``tell`` called with ``key`` when others have written one of these records."""
        for oid in oids:
            self._listeners.setdefault(oid, {})[tell] = key

    def ignore(self, oids: Iterable[bytes], tell: Tell) -> None:
        """The opposite."""
        for oid in oids:
            listeners = self._listeners.get(oid, {})
            listeners.pop(tell, None)
            if not listeners:
                self._listeners.pop(oid, None)

    def announce(self, tid: bytes, oids: Sequence[bytes]) -> None:
        """The server has announced a transaction."""
        concerned: dict[Tell, dict[Hashable, None]] = {}
        for oid in oids:
            for tell, key in tuple(self._listeners.get(oid, {}).items()):
                concerned.setdefault(tell, {})[key] = None
        for tell, keys in concerned.items():
            tell(Announcement(tid, oids, tuple(keys)))


def records_of_state(entries: Any) -> list[bytes]:
    """Where a run's state is: one of these records is written when it changes.

    If a small tree of entries has become a large one, it is in others from then on.
    """
    if not is_tree(entries):
        return []
    leaves = [leaf._p_oid for leaf, _ in places(entries, ["state"])]
    return [oid for oid in (entries._p_oid, *leaves) if oid is not None]
