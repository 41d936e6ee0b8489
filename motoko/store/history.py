"""What a run has been through, from the database's own past."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from persistent.TimeStamp import TimeStamp

from motoko.runs.states import state_of
from motoko.store.trees import records

REVISIONS = 100  # how far to look back


def has_been(run: Any, state: str, since: Collection[str] = ()) -> bool:
    """Whether a run was in a state, as far as its unpacked past tells.

    Args:
        run: the run.
        state: the state.
        since: how far to look back: to when it was in one of these. Else to the beginning.

    Some round trips: for the rare run that nobody has recorded the end of.
    """
    connection = run.entries._p_jar
    for part in records(run.entries):
        for revision in connection.db().storage.history(part._p_oid, size=REVISIONS):
            past = type(part)()
            past.__setstate__(connection.oldstate(part, revision["tid"]))
            if (was := state_of(past)) == state:
                return True
            if was in since:
                break
    return False


def changed_at(run: Any) -> float:
    """When a run's record was changed last (seconds since 1970)."""
    parts = records(run.entries)
    for part in parts:
        part._p_activate()
    newest = max(part._p_serial for part in parts)
    return float(TimeStamp(newest).timeTime())
