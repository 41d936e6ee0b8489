"""How the trees of all runs, or jobs, differ at two moments: by their changed nodes alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from ZODB.POSException import POSKeyError, ReadConflictError

from motoko.store import records
from motoko.store.run_finders import CannotFind, Node
from motoko.store.trees import children

Reader = Callable[[Any], Node | None]


def difference(nodes: Iterable[Any], then: Reader, now: Reader) -> tuple[set[int], set[Any]]:
    """The numbers whose objects differ, and the nodes that exist now.

    Args:
        nodes: all nodes that have changed, except new ones.
        then: reads a node as it was; ``None`` if there was none.
        now: reads a node as it is; ``None`` if there is none.

    Raises ``CannotFind`` if a node that is not new was not there before.
    """
    members_then: dict[int, bytes | None] = {}
    members_now: dict[int, bytes | None] = {}
    read_then: dict[Hashable, Node | None] = {}
    read_now: dict[Hashable, Node | None] = {}
    to_read = [(node, True, True) for node in nodes]
    while to_read:
        node, in_then, in_now = to_read.pop()
        if in_then and node not in read_then:
            read_then[node] = then(node)
        if in_now and node not in read_now:
            read_now[node] = now(node)
        if in_then and in_now:
            before, after = (set(_below(read[node])) for read in (read_then, read_now))
        else:
            before = set(_below(read_then[node])) if in_then else set()
            after = set(_below(read_now[node])) if in_now else set()
        to_read += [(child, True, False) for child in before - after if child not in read_then]
        to_read += [(child, False, True) for child in after - before if child not in read_now]
    made = {child for node in read_now.values() for child in _below(node)}
    if any(held is None and node not in made for node, held in read_then.items()):
        raise CannotFind("the database's past is packed away")
    for read, members in ((read_then, members_then), (read_now, members_now)):
        for held in read.values():
            members.update(held.members if held is not None else {})
    numbers = {
        number
        for number in members_then.keys() | members_now.keys()
        if number not in members_then
        or number not in members_now
        or members_then[number] != members_now[number]
        or members_now[number] is None
    }
    return numbers, {node for node, held in read_now.items() if held is not None}


def _below(node: Node | None) -> Iterable[Any]:
    return node.below if node is not None else ()


def stored_at(storage: Any, view: bytes) -> Reader:
    """A reader of nodes, by record, as a view of a storage has them."""

    def read(oid: Any) -> Node | None:
        try:
            record = storage.loadBefore(oid, view) if isinstance(oid, bytes) else None
        except POSKeyError:
            return None
        if record is None:
            return None
        node = records.node(record[0])
        members = {
            number: value.oid
            for number, value in node.items
            if type(number) is int and isinstance(value, records.Ref)
        }
        return Node(node.children, members)

    return read


def in_memory(connection: Any) -> Reader:
    """A reader of nodes as a connection has them, with its changes; new nodes have no record."""
    new: dict[int, Any] = {}

    def known_as(node: Any) -> Any:
        if node._p_oid is not None:
            return node._p_oid
        new[id(node)] = node
        return id(node)

    def read(key: Any) -> Node | None:
        try:
            node = connection.get(key) if isinstance(key, bytes) else new.get(key)
        except (POSKeyError, ReadConflictError):
            return None  # it was made after the connection's view, or is no more
        if node is None:
            return None
        below = children(node)
        if below:
            return Node([known_as(child) for child in below], {})
        return Node((), {number: member._p_oid for number, member in node.items()})

    return read
