"""What a transaction changes in runs and jobs, key by key, so that it can be applied again.

A commit that meets a conflict or loses its server is aborted, and its changes with it. So the
pending content is noted before the commit. When the commit has failed, this content is compared
with what the transaction started from, and the difference is set on the fresh objects, unless
another client has changed the same key meanwhile.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import transaction
from BlackDynamite.conffile_zeo import ConfFile
from BlackDynamite.zeoobject import ZEOObject
from BTrees.OOBTree import OOBTree, OOBucket
from ZODB.utils import z64

from motoko.errors import ChangeConflict, MotokoError
from motoko.runs.entry_table import OWN
from motoko.store.internals.connections import changed_objects, objects_in_memory, view_of
from motoko.store.trees import children
from motoko.store.values import same

MISSING = object()
_SHOWN_MAX = 200  # of a value, in a message
# What BlackDynamite's objects are made of; other attributes are values that users have set.
_STRUCTURE = frozenset(
    {"entries", "key_string", "optional", "types", "operators"}
    | {"configfiles", "quantities", "runs"}
)
_STUDYS_OWN = "runs_counter"
# Creating a task sets this on an existing run; creating is repeated as a whole.
_OF_CREATION = OWN["files_checksum"].key
# The tree that a leaf was found in: looked up at every commit that changes a large run.
_owners: weakref.WeakKeyDictionary[Any, dict[bytes, Any]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Pending:
    """The pending content of a run's or job's entries (of a leaf of large ones), or attributes."""

    connection: Any
    view: bytes  # the connection sees what was committed before this tid
    node: Any
    tree: Any
    content: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One key of one run's or job's entries: its old value and its new one."""

    connection: Any
    node_oid: bytes  # what was changed: the tree itself, or a leaf of it
    tree_oid: bytes
    key: str
    old: Any
    new: Any

    @property
    def owner(self) -> str:
        """The run or job that is changed, in words."""
        fresh = self.connection.get(self.tree_oid)
        entries = fresh.entries if isinstance(fresh, ZEOObject) else fresh
        kind = "run" if "job_id" in entries else "job"
        return f"{kind} {entries.get('id')}"


def capture(connection: Any) -> list[Pending]:
    """The pending content of a connection's changed runs and jobs; to be called before a commit.

    New objects and the study's own containers are left out: creating is repeated as a whole.
    """
    stored = [
        obj
        for obj in changed_objects(connection)
        if obj._p_serial != z64 and (isinstance(obj, ZEOObject) or _is_entries(obj))
    ]
    trees = [obj for obj in stored if not isinstance(obj, OOBucket)]
    # A changed tree has gained or lost leaves: its whole content must be compared.
    covered = {id(leaf) for tree in trees for leaf in children(tree)}
    leaves = [obj for obj in stored if isinstance(obj, OOBucket)]
    # Noted now: a failed commit has moved the view on, and dropped objects from memory.
    view = view_of(connection)
    return [
        Pending(connection, view, node, _tree_of(connection, node), _content(node))
        for node in leaves
        if id(node) not in covered
    ] + [Pending(connection, view, tree, tree, _content(tree)) for tree in trees]


def changes(pending: Iterable[Pending]) -> list[Change]:
    """The changed keys; to be called after the commit has failed."""
    changed: list[Change] = []
    for leaf in pending:
        before = _content_at(leaf.connection, leaf.node._p_oid, leaf.view)
        changed += [
            Change(leaf.connection, leaf.node._p_oid, leaf.tree._p_oid, key, old, new)
            for key in sorted(before.keys() | leaf.content.keys())
            if key != _OF_CREATION
            and not same(old := before.get(key, MISSING), new := leaf.content.get(key, MISSING))
        ]
    return changed


def apply_again(change: Change) -> None:
    """Set a key on the fresh object; ``ChangeConflict`` if another client has changed it, too."""
    fresh = change.connection.get(change.tree_oid)
    content = _content(fresh)
    current = content.get(change.key, MISSING)
    if same(current, change.new):
        return  # the commit did get through, or another client has made the same change
    if not same(current, change.old):
        raise ChangeConflict(
            f"{change.owner}: {change.key!r} was set to {_shown(change.new)} here "
            f"and to {_shown(current)} by somebody else (it was {_shown(change.old)})",
            hint="read it again and decide: only one of the two can be kept",
        )
    if isinstance(fresh, ZEOObject):
        if change.new is MISSING:
            delattr(fresh, change.key)
        else:
            setattr(fresh, change.key, change.new)
    elif change.new is MISSING:
        del fresh[change.key]
    else:
        fresh[change.key] = change.new


def _content(node: Any) -> dict[str, Any]:
    """The entries that a node holds; for a run or job itself, its other attributes."""
    if isinstance(node, ZEOObject):
        node._p_activate()
        return {
            key: value
            for key, value in vars(node).items()
            if key not in _STRUCTURE and not key.startswith("_")
        }
    return dict(node.items())


def _is_entries(tree: Any) -> bool:
    if not isinstance(tree, (OOBTree, OOBucket)):
        return False
    # Containers are keyed by numbers or tuples, or hold configuration files; or they are the
    # study's own content: what changes there is repeated with the creation that has changed it.
    for key, value in tree.items():
        named = isinstance(key, str) and not isinstance(value, ConfFile)
        return named and _STUDYS_OWN not in tree
    return False


def _tree_of(connection: Any, leaf: Any) -> Any:
    """The tree that a leaf belongs to: it is in memory, since the leaf was reached through it."""
    known = _owners.setdefault(connection, {})
    tree = known.get(leaf._p_oid)
    if tree is None or not any(child is leaf for child in children(tree)):
        for tree in objects_in_memory(connection):
            if isinstance(tree, OOBTree) and any(child is leaf for child in children(tree)):
                break
        else:
            raise MotokoError(f"no run or job holds the changed record {leaf._p_oid.hex()}")
        known[leaf._p_oid] = tree
    return tree


def _content_at(connection: Any, oid: bytes, view: bytes) -> dict[str, Any]:
    """A node's content in a view of the past."""
    manager = transaction.TransactionManager()
    past = connection.db().open(manager, before=view)
    try:
        return _content(past.get(oid))
    finally:
        manager.abort()
        past.close()


def _shown(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
