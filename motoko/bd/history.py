"""What a run has been through, from the database's own past."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from BTrees.OOBTree import OOBTree

REVISIONS = 100  # how far to look back


def has_been(run: Any, state: str) -> bool:
    """Whether a run was ever in a state, as far as its unpacked past tells.

    Some round trips: for the rare run that nobody has recorded the end of.
    """
    connection = run.entries._p_jar
    for part in _parts(run.entries):
        for revision in connection.db().storage.history(part._p_oid, size=REVISIONS):
            past = type(part)()
            past.__setstate__(connection.oldstate(part, revision["tid"]))
            if past.get("state") == state:
                return True
    return False


def _parts(entries: OOBTree) -> Iterator[Any]:
    """The records that a run's entries are in: one, or, of more than some 30 entries, several."""
    yield entries
    entries._p_activate()
    bucket = entries._firstbucket
    while bucket is not None:
        bucket._p_activate()
        if bucket._p_oid is not None:  # that of a small tree is within the tree's own record
            yield bucket
        bucket = bucket._next
