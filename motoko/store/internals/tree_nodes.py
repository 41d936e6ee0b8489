"""Into BTrees: what a tree's own record holds."""

from __future__ import annotations

from typing import Any

from BTrees.OOBTree import OOBTree, OOBucket

from motoko.store.internals.self_check import Need, relies_on


def below(node: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The records right below a tree's node, and the keys at which each but the first begins.

    Both are empty if the node is a leaf or holds its only leaf itself.
    """
    # (child, border, child, ...) and the first leaf; for a small tree just its only leaf's state;
    # for a leaf, keys and values, and perhaps the next leaf.
    state = node.__getstate__()
    if not state or len(state) != 2 or not isinstance(node, OOBTree):
        return (), ()
    return state[0][0::2], state[0][1::2]


def _is_as_expected() -> bool:
    small, large = OOBTree({1: "one"}), OOBTree(dict.fromkeys(range(61)))
    children, borders = below(large)
    first = children[0].__getstate__()
    return (
        small.__getstate__() == ((((1, "one"),),),)
        and OOBTree().__getstate__() is None
        and below(small) == below(children[0]) == ((), ())
        and {type(child) for child in children} == {OOBucket}
        and len(borders) == len(children) - 1
        and children[1].minKey() == borders[0]
        and first[0] == tuple(part for key in children[0] for part in (key, None))
        and first[1] is children[1]
    )


relies_on(
    "BTrees",
    Need("BTrees.OOBTree", holds=_is_as_expected, what="the state of an OOBTree"),
)
