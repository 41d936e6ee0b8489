"""Merging changes that clients make at once to different entries of a run or job.

BTrees merge two changes of one record, unless one has changed the tree's shape: thirty entries are
one record, and the thirty-first splits it. And doIt.py, whose client does not repeat a commit,
computes for hours while its launcher commits news of its job. So where BTrees give up, a study's
server applies what a client's transaction has changed, key by key, to what is stored now. It does
the same for attributes of the run itself (`run.weight = 1`).

Merging works on records as they are stored, and asks nothing of the clients. Pure logic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from BTrees.OOBTree import OOBucket
from ZODB.utils import z64

from motoko.store.internals.record_trees import RecordTree
from motoko.store.internals.tree_records import is_tree_record, read, record
from motoko.store.internals.zeo_servers import Commit, Merge
from motoko.store.records import node, parts
from motoko.store.values import same

log = logging.getLogger(__name__)

_OWNERS = (b"cBlackDynamite.run_zeo\nRunZEO\n", b"cBlackDynamite.job\nJobZEO\n")


class _Missing:
    """Stands for the value of a key that is not there."""


_MISSING = _Missing()


@dataclass
class _Side:
    """A tree as a client had it, or has changed it, as far as the client has sent it.

    Attributes:
        items: the tree's items.
        nodes: the tree's records.
        elsewhere: records below that were not sent, and so are unchanged.
    """

    items: dict[Any, Any] = field(default_factory=dict)
    nodes: set[bytes] = field(default_factory=set)
    elsewhere: set[bytes] = field(default_factory=set)


class EntryMerges:
    """The conflicts of one transaction, one by one."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit

    def __call__(self, oid: bytes) -> Merge | None:
        """Merge a record that other clients have changed, too.

        ``None`` if the conflict remains. That is so if both have changed the same key, and
        whenever the changes cannot be read: a record is gone, or only its writer has a class.
        """
        try:
            if oid in self._nodes:
                return self._tree(oid)
            if oid in self._commit.sent and any(name in self._after(oid) for name in _OWNERS):
                return self._owner(oid)
        except Exception as error:  # noqa: BLE001 (whatever a class does to its pickling)
            log.warning("a conflict cannot be resolved: %r", error)
        return None

    def _owner(self, oid: bytes) -> Merge | None:
        _, before = read(self._before(oid))
        _, after = read(self._after(oid))
        cls, attributes = read(self._commit.current(oid))
        if not _set(before, after, attributes):
            return None
        return Merge({oid}, {oid: record(cls, attributes)})

    def _tree(self, oid: bytes) -> Merge | None:
        while oid in self._above:
            oid = self._above[oid]
        before, after = _Side(), _Side()
        self._look(oid, self._before, before)
        self._look(oid, self._after, after)
        if before.elsewhere != after.elsewhere:
            return None
        present = RecordTree(oid, self._commit.current)
        if not _set(before.items, after.items, present.entries):
            return None
        # Records that were stored before the conflict was met are stored again as they were.
        sent = {oid for oid in before.nodes if self._commit.sent[oid].data}
        records = {oid: self._commit.current(oid) for oid in sent}
        records |= present.records(self._commit.new_oid)
        return Merge(before.nodes | after.nodes, records)

    def _look(self, oid: bytes, record_of: Callable[[bytes], bytes], side: _Side) -> None:
        """Note what a node of a tree holds, and all nodes below."""
        cls, state = read(record_of(oid))
        below, items = parts(state, is_leaf=cls is OOBucket)
        side.nodes.add(oid)
        side.items.update(items)
        for child in below:
            if child.oid in self._nodes:
                self._look(child.oid, record_of, side)
            else:
                side.elsewhere.add(child.oid)

    @cached_property
    def _nodes(self) -> set[bytes]:
        """The records of trees that were sent."""
        return {oid for oid in self._commit.sent if is_tree_record(self._after(oid))}

    @cached_property
    def _above(self) -> dict[bytes, bytes]:
        """The node above each of these records."""
        above = {}
        for oid in self._nodes:
            is_new = self._commit.sent[oid].serial == z64
            for data in {self._after(oid), b"" if is_new else self._before(oid)} - {b""}:
                above.update(dict.fromkeys(node(data).children, oid))
        return above

    def _before(self, oid: bytes) -> bytes:
        return self._commit.at(oid, self._commit.sent[oid].serial)

    def _after(self, oid: bytes) -> bytes:
        return self._commit.sent[oid].data or self._before(oid)


def _set(before: dict[Any, Any], after: dict[Any, Any], present: Any) -> bool:
    """Set a client's changes in what is stored now; ``False`` if another has changed the same."""
    for key in before.keys() | after.keys():
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        if _written(old) == _written(new):
            continue
        if not isinstance(key, str):
            return False  # entries have names: this is no tree of entries
        if not same(present.get(key, _MISSING), old):
            if same(old, new):
                continue  # only its pickle differs, such as a set's
            return False
        if new is _MISSING:
            del present[key]
        else:
            present[key] = new
    return True


def _written(value: Any) -> bytes:
    return b"" if value is _MISSING else record(None, value)
