"""What a transaction changes in runs and jobs, key by key, so that it can be applied again.

A commit that meets a conflict or loses its server is aborted, and its changes with it. They are
noted beforehand, compared with what they started from, and set again on the fresh objects, unless
somebody else has changed that very key meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from BlackDynamite.conffile_zeo import ConfFile
from BTrees.OOBTree import OOBTree, OOBucket
from ZODB.utils import z64

from motoko.errors import ChangeConflict

_MISSING = object()


@dataclass(frozen=True)
class Change:
    """The pending content of one ``entries`` tree, or of one leaf of a large one."""

    connection: Any
    oid: bytes
    serial: bytes  # the revision it started from
    pending: dict[str, Any]


def capture(connection: Any) -> list[Change]:
    """The pending changes of a connection's stored runs and jobs.

    New objects and the study's own containers are left out: creating is repeated as a whole.
    """
    return [
        Change(connection, obj._p_oid, obj._p_serial, dict(obj.items()))
        for obj in connection._registered_objects
        if isinstance(obj, (OOBTree, OOBucket)) and obj._p_serial != z64 and _is_entries(obj)
    ]


def _is_entries(tree: Any) -> bool:
    # Containers are keyed by numbers or tuples, or hold configuration files.
    for key, value in tree.items():
        return isinstance(key, str) and not isinstance(value, ConfFile)
    return False


def apply_again(change: Change) -> None:
    """Set a change's keys on the fresh object; ``ChangeConflict`` if one was changed by others."""
    fresh = change.connection.get(change.oid)
    before = _content(type(fresh), change.connection.oldstate(fresh, change.serial))
    # A leaf may have been split meanwhile: only its tree knows where a key belongs.
    tree = fresh if isinstance(fresh, OOBTree) else _tree_of(change.connection, fresh)
    for key in before.keys() | change.pending.keys():
        old = before.get(key, _MISSING)
        new = change.pending.get(key, _MISSING)
        if old is new or old == new:
            continue
        current = tree.get(key, _MISSING)
        if current is new or current == new:
            continue
        if current is not old and current != old:
            raise ChangeConflict(
                f"run or job {tree.get('id')}: {key!r} was set to {new!r} here and to "
                f"{current!r} by somebody else (it was {old!r})",
                hint="read the run again and decide; only one of the two can be kept",
            )
        if new is _MISSING:
            del tree[key]
        else:
            tree[key] = new


def _content(kind: type, state: Any) -> dict[str, Any]:
    copy = kind()
    copy.__setstate__(state)
    return dict(copy.items())


def _tree_of(connection: Any, leaf: Any) -> Any:
    for _, obj in connection._cache.lru_items():
        if isinstance(obj, OOBTree):
            state = obj.__getstate__()
            if state and len(state) == 2 and any(child is leaf for child in state[0][0::2]):
                return obj
    raise ChangeConflict(
        "a change to a large run met a conflict and could not be applied again",
        hint="repeat the change",
    )
