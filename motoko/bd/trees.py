"""The records that a BTree consists of: its root and, once it is large, those below."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from BTrees.OOBTree import OOBTree


def children(node: Any) -> list[Any]:
    """The records right below a tree's node; none, if it is a leaf or holds its only one."""
    return list(_state(node)[0::2])


def places(node: Any, keys: Iterable[Any]) -> list[tuple[Any, list[Any]]]:
    """Those right below that keys belong into, each with its keys; ``None`` is a greatest key.

    Raises ``TypeError`` for a key that cannot be compared with those of the tree.
    """
    state = _state(node)
    nodes, borders = state[0::2], state[1::2]
    found: dict[int, list[Any]] = {}
    for key in keys if nodes else ():
        place = len(borders) if key is None else bisect_right(borders, key)
        found.setdefault(place, []).append(key)
    return [(nodes[place], belonging) for place, belonging in found.items()]


def _state(node: Any) -> tuple[Any, ...]:
    # (child, border, child, ...), and the first leaf; of a small tree just its only leaf's state;
    # of a leaf, keys and values, and perhaps the next leaf.
    state = node.__getstate__()
    if not state or len(state) != 2 or not isinstance(node, OOBTree):
        return ()
    found: tuple[Any, ...] = state[0]
    return found
