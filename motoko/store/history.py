"""A run's earlier states, from the database's own past."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from motoko.runs.states import state_of
from motoko.store.log_end import seconds_of
from motoko.store.trees import records

REVISIONS = 100  # how far to look back


def has_been(run: Any, state: str, since: Collection[str] = ()) -> bool:
    """Whether a run was in a state, as far as its unpacked past tells.

    Args:
        run: the run.
        state: the state.
        since: look back only to when the run was in one of these states. Else to the beginning.

    Takes some round trips: it is for the rare run whose end was not recorded.
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
    return seconds_of(newest)
