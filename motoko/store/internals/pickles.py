"""Into ZODB's pickles: records read without the classes of what they hold, and written."""

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

# What pickles of objects name that is no class of theirs.
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
        find_class: gives what stands for a class, by module and name.
        load_reference: gives what stands for an object in another record.
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
