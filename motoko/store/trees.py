"""The records that a BTree consists of: its root and, once it is large, the records below."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from persistent import Persistent

from motoko.store.internals.tree_nodes import below


def is_tree(entries: Any) -> bool:
    """Whether entries have records of their own.

    The entries of a job that BlackDynamite's own tools have made are a dict in the job's record.
    """
    return isinstance(entries, Persistent)


def records(entries: Any) -> list[Any]:
    """The records that hold entries: the tree, and the leaves that a large one has."""
    return [entries, *children(entries)] if is_tree(entries) else []


def children(node: Any) -> list[Any]:
    """The records right below a tree's node; none if it is a leaf or holds its only leaf."""
    nodes, _ = below(node)
    return list(nodes)


def places(node: Any, keys: Iterable[Any]) -> list[tuple[Any, list[Any]]]:
    """The records right below that keys belong to, each with its keys; ``None`` is the last key.

    Raises ``TypeError`` for a key that cannot be compared with those of the tree.
    """
    nodes, borders = below(node)
    by_place: dict[int, list[Any]] = {}
    for key in keys if nodes else ():
        place = len(borders) if key is None else bisect_right(borders, key)
        by_place.setdefault(place, []).append(key)
    return [(nodes[place], belonging) for place, belonging in by_place.items()]
