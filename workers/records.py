"""Reading BlackDynamite's database records without BlackDynamite.

Only the shape of a record is needed here (a BTree's keys, an object's references), so classes are
stand-ins that keep nothing, and objects in other records are just their oids. No code of the
pickled classes runs.
"""

from __future__ import annotations

import copyreg
import datetime
import io
from dataclasses import dataclass
from typing import Any

from ZODB._compat import PersistentUnpickler


@dataclass(frozen=True)
class Ref:
    """A reference to another record."""

    oid: bytes


class _StandIn:
    """Takes the place of any class: accepts what unpickling does, keeps nothing."""

    class_name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> _StandIn:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...


_GENUINE: dict[tuple[str, str], Any] = {
    ("datetime", "datetime"): datetime.datetime,
    ("copyreg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
    ("copyreg", "__newobj__"): copyreg.__newobj__,  # type: ignore[attr-defined]
    ("builtins", "object"): object,
}
_stand_ins: dict[tuple[str, str], type] = {}


def _find_global(module: str, name: str) -> Any:
    found = _GENUINE.get((module, name)) or _stand_ins.get((module, name))
    if found is None:
        found = type(name, (_StandIn,), {"class_name": f"{module}.{name}"})
        _stand_ins[module, name] = found
    return found


def _persistent_load(reference: Any) -> Ref:
    if isinstance(reference, tuple):
        return Ref(reference[0])
    if isinstance(reference, bytes):
        return Ref(reference)
    # Weak or cross-database references, which BlackDynamite does not write.
    return Ref(b"")


def decode(data: bytes) -> tuple[str, Any]:
    """A record's class name and its state, with :class:`Ref` for objects in other records."""
    unpickler = PersistentUnpickler(_find_global, _persistent_load, io.BytesIO(data))
    cls = unpickler.load()
    if isinstance(cls, tuple):
        cls = cls[0]
    name = ".".join(cls) if isinstance(cls, tuple) else getattr(cls, "class_name", str(cls))
    return name, unpickler.load()


@dataclass(frozen=True)
class Node:
    """One record of a BTree: the oids of its children, or the items of a leaf."""

    children: tuple[bytes, ...]
    items: tuple[tuple[Any, Any], ...]


def node(data: bytes) -> Node:
    """A BTree's or bucket's record."""
    cls, state = decode(data)
    if cls.endswith("Bucket"):
        flat = state[0]
    elif state is None:
        flat = ()
    elif len(state) == 1:  # a small tree holds its only bucket itself
        flat = state[0][0][0]
    else:
        return Node(tuple(child.oid for child in state[0][0::2]), ())
    return Node((), tuple(zip(flat[0::2], flat[1::2], strict=True)))
