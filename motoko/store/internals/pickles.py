"""Into ZODB's pickles: reading records without the classes of their values, and writing them."""

from __future__ import annotations

import copyreg
import io
from collections.abc import Callable
from typing import Any

from motoko.store.internals.self_check import Need, imported, relies_on

_PersistentUnpickler = imported("ZODB", "ZODB._compat", "PersistentUnpickler")
_PersistentPickler = imported("ZODB", "ZODB._compat", "PersistentPickler")
_PROTOCOL = imported("ZODB", "ZODB._compat", "_protocol")
relies_on(
    "ZODB",
    Need("ZODB._compat", "PersistentUnpickler", ("find_global", "load_persistent")),
    Need("ZODB._compat", "PersistentPickler", ("persistent_id",)),
)

# Functions that pickles of objects name besides classes.
MAKERS: dict[tuple[str, str], Any] = {
    ("copyreg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
    ("copyreg", "__newobj__"): copyreg.__newobj__,  # type: ignore[attr-defined]
}


def class_and_state(
    data: bytes, find_class: Callable[[str, str], Any], load_reference: Callable[[Any], Any]
) -> tuple[Any, Any]:
    """The two pickles that a record consists of: an object's class, and its state.

    Args:
        data: the record.
        find_class: gives a class or its stand-in, by module and name.
        load_reference: gives the stand-in for an object in another record.
    """
    unpickler = _PersistentUnpickler(find_class, load_reference, io.BytesIO(data))
    return unpickler.load(), unpickler.load()


def record_of(cls: Any, state: Any, reference_of: Callable[[Any], Any]) -> bytes:
    """The record of an object: the reverse of :func:`class_and_state`.

    Args:
        cls: its class.
        state: its state.
        reference_of: gives what is written for an object in another record; ``None`` for others.
    """
    file = io.BytesIO()
    pickler = _PersistentPickler(reference_of, file, _PROTOCOL)
    pickler.dump(cls)
    pickler.dump(state)
    return file.getvalue()
