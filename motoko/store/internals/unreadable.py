"""Into ZODB's broken objects: what stands for a value whose class this process cannot import.

Such a value is stored again unchanged: other processes may have the class.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from ZODB.broken import Broken

from motoko.store.internals.self_check import Need, relies_on

relies_on("ZODB", Need("ZODB.broken:Broken", "__repr__"))
_LOOKED_AT = 1_000  # of a container's elements: those of large ones are all alike


def install() -> None:
    """Have such values say what they are when they are printed; harmless when repeated."""
    Broken.__repr__ = _shown


def _shown(value: Any) -> str:
    return f"<unreadable: class {_name(value)}>"


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def missing_class(value: Any) -> str | None:
    """The class that is missing to read a value, or an element of it; ``None`` if none is."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        elements = islice(value, _LOOKED_AT)
    elif kind is dict:
        elements = islice(value.values(), _LOOKED_AT)
    else:
        return _name(value) if isinstance(value, Broken) else None
    return next((_name(element) for element in elements if isinstance(element, Broken)), None)
