"""Reading BlackDynamite's database records without BlackDynamite.

Only the shape of a record (a BTree's keys, an object's references) and its scalars are needed here.
So classes are stand-ins that keep nothing, and objects in other records are just their oids. No
code of the pickled classes runs, except that of dates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.store.foreign_scalars import makers
from motoko.store.internals.pickles import MAKERS, class_and_state


@dataclass(frozen=True)
class Ref:
    """A reference to another record."""

    oid: bytes


class _StandIn:
    """Takes the place of any class: accepts all that unpickling does, and keeps nothing."""

    class_name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> _StandIn:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> _StandIn:
        return self  # the result of a function that was found by getattr

    def __setstate__(self, state: Any) -> None: ...

    def __repr__(self) -> str:
        return f"<{self.class_name}>"

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...


_stand_ins: dict[tuple[str, str], type[_StandIn]] = {}


def _stand_in(module: str, name: str) -> type[_StandIn]:
    cls = _stand_ins.get((module, name))
    if cls is None:
        cls = type(name, (_StandIn,), {"class_name": f"{module}.{name}"})
        _stand_ins[module, name] = cls
    return cls


_GENUINE: dict[tuple[str, str], Any] = {
    **MAKERS,
    **makers(_stand_in),
    ("builtins", "object"): object,
}


def _find_global(module: str, name: str) -> Any:
    return _GENUINE.get((module, name)) or _stand_in(module, name)


def _persistent_load(reference: Any) -> Ref:
    if isinstance(reference, tuple):
        return Ref(reference[0])
    if isinstance(reference, bytes):
        return Ref(reference)
    # Weak or cross-database references, which BlackDynamite does not write.
    return Ref(b"")


def decode(data: bytes) -> tuple[str, Any]:
    """A record's class name and its state, with :class:`Ref` for objects in other records."""
    cls, state = class_and_state(data, _find_global, _persistent_load)
    if isinstance(cls, tuple):
        cls = cls[0]
    name = ".".join(cls) if isinstance(cls, tuple) else getattr(cls, "class_name", str(cls))
    return name, state


def classes_in(data: bytes) -> set[str]:
    """The names of all classes and functions that a record needs, with their modules."""
    names: set[str] = set()

    def find_class(module: str, name: str) -> Any:
        names.add(f"{module}.{name}")
        return _find_global(module, name)

    if data:
        class_and_state(data, find_class, _persistent_load)
    return names


def class_of(value: Any) -> str | None:
    """The class of a value that :func:`node` has given; ``None`` for Python's own."""
    return value.class_name if isinstance(value, _StandIn) else None


@dataclass(frozen=True)
class Node:
    """One record of a BTree: the oids of its children, or the items of a leaf."""

    children: tuple[bytes, ...]
    items: tuple[tuple[Any, Any], ...]


def node(data: bytes) -> Node:
    """A BTree's or bucket's record."""
    return node_of(*decode(data))


def node_of(cls: str, state: Any) -> Node:
    """A BTree's or bucket's record, as :func:`decode` has given it."""
    below, items = parts(state, is_leaf=cls.endswith("Bucket"))
    return Node(tuple(child.oid for child in below), tuple(items))


def parts(state: Any, *, is_leaf: bool) -> tuple[Sequence[Any], Iterator[tuple[Any, Any]]]:
    """The references below the state of a BTree or bucket, and the items of a leaf."""
    if is_leaf:
        flat = state[0]
    elif state is None:
        flat = ()
    elif len(state) == 1:  # a small tree holds its only bucket itself
        flat = state[0][0][0]
    else:
        return state[0][0::2], iter(())
    return (), zip(flat[0::2], flat[1::2], strict=True)
