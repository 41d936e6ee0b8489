"""Into BTrees and persistent objects: a tree that is loaded from records, and makes records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from BTrees.OOBTree import OOBTree, OOBucket

from motoko.store.internals.pickles import record_of
from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.tree_records import Reference, read, written


class RecordTree:
    """A tree whose records are loaded on demand, and written after the tree was changed.

    It plays the database connection for the tree's nodes. BTrees' own code keeps the tree in shape.

    Args:
        oid: the tree's oid.
        load: gives the record of an oid.

    Attributes:
        entries: the tree. Objects in other records are references in it.
    """

    def __init__(self, oid: bytes, load: Callable[[bytes], bytes]) -> None:
        self._load = load
        self._nodes: dict[bytes, Any] = {}
        self._changed: list[Any] = []
        self.entries = self._node(oid, OOBTree)

    def records(self, new_oid: Callable[[], bytes]) -> dict[bytes, bytes]:
        """The records of changed nodes, by oid. ``new_oid`` gives an oid for a new node."""
        nodes = list(self._changed)

        def reference(value: Any) -> Any:
            if not isinstance(value, (OOBTree, OOBucket)):
                return written(value)
            if value._p_oid is None:
                value._p_oid = new_oid()
                nodes.append(value)
            return value._p_oid, type(value)

        # Writing a node may append others to ``nodes``: new ones that it leads to.
        return {
            node._p_oid: record_of(type(node), node.__getstate__(), reference) for node in nodes
        }

    # What nodes need of a connection.

    def setstate(self, node: Any) -> None:
        """Load a node."""
        _, state = read(self._load(node._p_oid))
        if state is None:
            return
        # (child, border, child, ...) and the first leaf; or a leaf's items and the next leaf.
        if len(state) == 2:
            parts, leaf = state
            if type(node) is OOBTree:
                parts = tuple(
                    part if place % 2 else self._referred(part) for place, part in enumerate(parts)
                )
            state = (parts, self._referred(leaf))
        node.__setstate__(state)

    def register(self, node: Any) -> None:
        """Note that a node has been changed; called once for each node."""
        self._changed.append(node)

    def readCurrent(self, node: Any) -> None:
        """Do nothing: no other client can change this tree meanwhile."""

    def _referred(self, reference: Reference) -> Any:
        oid, cls = reference.written
        return self._node(oid, cls)

    def _node(self, oid: bytes, cls: type) -> Any:
        node = self._nodes.get(oid)
        if node is None:
            node = self._nodes[oid] = cls()
            node._p_jar, node._p_oid = self, oid
            node._p_deactivate()  # it is loaded when it is used
        return node


def _is_as_expected() -> bool:
    items = {f"{number:03}": number for number in range(40)}
    root = record_of(OOBTree, ((((("000", 0),),),),), written)
    tree = RecordTree(b"root", {b"root": root}.__getitem__)
    tree.entries.update(items)
    oids = iter([b"first", b"second"])
    records = tree.records(lambda: next(oids))
    again = RecordTree(b"root", records.__getitem__)
    again.entries["000"] = -1
    return (
        list(records) == [b"root", b"first", b"second"]
        and dict(again.entries) == {**items, "000": -1}
        and list(again.records(lambda: b"")) == [b"first"]
    )


relies_on(
    "BTrees",
    Need("BTrees.OOBTree", holds=_is_as_expected, what="the loading of an OOBTree"),
)
