"""What a run has been through, from the database's own past."""

from __future__ import annotations

from typing import Any

from motoko.bd.trees import children

REVISIONS = 100  # how far to look back


def has_been(run: Any, state: str) -> bool:
    """Whether a run was ever in a state, as far as its unpacked past tells.

    Some round trips: for the rare run that nobody has recorded the end of.
    """
    connection = run.entries._p_jar
    for part in (run.entries, *children(run.entries)):
        for revision in connection.db().storage.history(part._p_oid, size=REVISIONS):
            past = type(part)()
            past.__setstate__(connection.oldstate(part, revision["tid"]))
            if past.get("state") == state:
                return True
    return False
