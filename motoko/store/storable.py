"""Which values can be stored so that other processes can read them."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Iterable
from typing import Any

import zodbpickle.pickle
from ZODB.broken import Broken

from motoko.errors import CannotBeSaved, MotokoError
from motoko.store.changes import MISSING, Change, Pending
from motoko.store.value_limits import HINT, MAIN, SIZE_MAX, not_readable, too_large

CANNOT_BE_STORED = (
    *(pickle.PicklingError, zodbpickle.pickle.PicklingError),
    *(TypeError, AttributeError, RecursionError),
)


def may_be_unreadable(pending: Iterable[Pending]) -> bool:
    """Whether changed runs may hold a value that other processes could not read; cheap."""
    return any(_is_mains(value) for leaf in pending for value in leaf.content.values())


def storable_ones(
    changes: Iterable[Change],
) -> tuple[list[Change], list[tuple[Change, MotokoError]]]:
    """The changes that can be stored and read again; and those that cannot, with the errors."""
    good: list[Change] = []
    bad: list[tuple[Change, MotokoError]] = []
    for change in changes:
        problem = _problem(change.new)
        if problem is None:
            good.append(change)
            continue
        text = f"{change.owner}: {change.key!r} cannot be saved: {problem}"
        bad.append((change, CannotBeSaved(text, hint=HINT)))
    return good, bad


def _is_mains(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(type(item).__module__ == MAIN for item in value)
    if isinstance(value, dict):
        return any(type(item).__module__ == MAIN for item in value.values())
    return type(value).__module__ == MAIN and not isinstance(value, Broken)


def _problem(value: Any) -> str | None:
    """Why a value cannot be stored and read again; ``None`` if it can."""
    if value is MISSING or isinstance(value, Broken):
        return None
    try:
        data = pickle.dumps(value, protocol=2)  # names classes in single instructions
    except Exception as error:  # noqa: BLE001 (whatever a class does to its pickling)
        return f"a value of type {type(value).__qualname__} cannot be stored ({error})"
    if len(data) > SIZE_MAX:
        return too_large(len(data))
    for instruction, argument, _ in pickletools.genops(data):
        module, _, name = str(argument).partition(" ")
        if instruction.name == "GLOBAL" and module == MAIN:
            return not_readable(name)
    return None
