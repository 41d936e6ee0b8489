"""Large values of runs and jobs have records of their own.

Entries are a tree. A small tree is one record, and a leaf of a large one holds some thirty entries:
each change of one of these would write a large value anew. So a study's server stores a large value
as a leaf with nothing else in it, whichever client has set it. All tools read it as before.

This works on records as they are stored, and asks nothing of the clients. Pure logic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from BTrees.OOBTree import OOBTree, OOBucket

from motoko.store.internals.tree_records import Reference, is_tree_record, read, record

# Values of more bytes have a record of their own.
LARGE = 64_000


@dataclass
class _Group:
    """Items that lie together in a leaf: small ones, or one large one."""

    is_large: bool
    items: list[tuple[str, Any]]


def separated(
    oid: bytes,
    data: bytes,
    new_oid: Callable[[], bytes],
    others: Callable[[], Iterable[tuple[bytes, bytes]]],
) -> dict[bytes, bytes] | None:
    """The records to store in place of a tree's or leaf's, so that large values lie apart.

    Args:
        oid: the oid of the tree or leaf.
        data: the record of the tree or leaf.
        new_oid: gives the oid of a new record.
        others: records, with their oids, among which the node above a leaf is looked for.

    Returns:
        Records by oid; ``None`` if the record must be stored as it is: nothing lies beside a large
        value, or the record cannot be split. That is so if the node above a leaf is unknown, and if
        a value is of a class that only its writer has.
    """
    try:
        cls, state = read(data)
        if cls is OOBTree and state is not None and len(state) == 1:
            ((items,),) = state[0]
            following: tuple[Any, ...] = ()
        elif cls is OOBucket:
            items, *rest = state
            following = tuple(rest)
        else:
            return None
        groups = _groups(items)
        if len(groups) < 2:
            return None
        if cls is OOBTree:
            oids = [new_oid() for _ in groups]
            content = _with_borders(oids, groups)
            root = record(cls, (content, content[0]))
            return {oid: root, **_leaves(oids, groups, following)}
        above = _above(oid, others())
        if above is None:
            return None
        node, (content, first) = above
        place = next(place for place, child in enumerate(content) if _is(child, oid))
        oids = [oid, *(new_oid() for _ in groups[1:])]
        content = (*content[:place], *_with_borders(oids, groups), *content[place + 1 :])
        return {
            **_leaves(oids, groups, following),
            node: record(OOBTree, (content, first)),
        }
    except Exception:  # noqa: BLE001 (whatever a class does to its pickling)
        return None


def largest(data: bytes) -> str | None:
    """The name of the largest value in a tree's or leaf's record; ``None`` if it is unknown."""
    try:
        cls, state = read(data)
        flat = state[0][0][0] if cls is OOBTree else state[0]
        sizes: dict[str, int] = {
            key: _size(value) for key, value in zip(flat[0::2], flat[1::2], strict=True)
        }
        return max(sizes, key=sizes.__getitem__)
    except Exception:  # noqa: BLE001 (whatever a class does to its pickling)
        return None


def _groups(flat: tuple[Any, ...]) -> list[_Group]:
    """The items of a tree or leaf, grouped so that each large value is alone."""
    groups: list[_Group] = []
    for key, value in zip(flat[0::2], flat[1::2], strict=True):
        if not isinstance(key, str):
            return []  # entries have names: these are no entries
        is_large = _size(value) > LARGE
        if is_large or not groups or groups[-1].is_large:
            groups.append(_Group(is_large, []))
        groups[-1].items.append((key, value))
    return groups


def _size(value: Any) -> int:
    if value is None or isinstance(value, (bool, int, float, Reference)):
        return 0
    return len(record(None, value))


def _with_borders(oids: list[bytes], groups: list[_Group]) -> tuple[Any, ...]:
    """The leaves of groups, and between them the keys at which they begin."""
    content: list[Any] = [Reference.to_leaf(oids[0])]
    for oid, before, group in zip(oids[1:], groups, groups[1:], strict=False):
        # An item that is set later, right behind a large value, belongs to the following leaf.
        border = group.items[0][0] if group.is_large else f"{before.items[-1][0]}\0"
        content += [border, Reference.to_leaf(oid)]
    return tuple(content)


def _leaves(
    oids: list[bytes], groups: list[_Group], following: tuple[Any, ...]
) -> dict[bytes, bytes]:
    """The records of leaves; each leads to the next one."""
    records = {}
    then = following
    for oid, group in reversed(list(zip(oids, groups, strict=True))):
        flat = tuple(part for item in group.items for part in item)
        records[oid] = record(OOBucket, (flat, *then))
        then = (Reference.to_leaf(oid),)
    return records


def _above(
    oid: bytes, others: Iterable[tuple[bytes, bytes]]
) -> tuple[bytes, tuple[tuple[Any, ...], Any]] | None:
    """The node above a leaf, with its state."""
    for other, data in others:
        if oid in data and is_tree_record(data):
            cls, state = read(data)
            if cls is OOBTree and state and len(state) == 2:
                content, first = state
                if any(_is(child, oid) for child in content[0::2]):
                    return other, (content, first)
    return None


def _is(child: Any, oid: bytes) -> bool:
    return isinstance(child, Reference) and child.oid == oid
