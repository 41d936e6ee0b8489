"""How the mirror keeps a value, so that SQL can compare it and Python gets it back as it was.

Each value is of a kind, and each kind of a name has a column of its own: SQLite does not tell a
bool from an int, or a date from a text. Pure logic.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from motoko.store.records import Ref, class_of

LONG = 4_096  # characters; longer values are left out
DEEP = 20  # lists in lists; deeper ones are left out

PLAIN, BOOL, TIME, DAY = "plain", "bool", "datetime", "date"
# The second of two equal hours, when clocks are put back: ISO 8601 has no notation for it.
SECOND_TIME = "second datetime"
JSON, LITERAL, NAN, ABSENT = "json", "literal", "nan", "absent"
# Kinds that SQL sees: NaN would be 0 in a sum, and what stands for a left-out value is none.
IN_SQL = (PLAIN, BOOL, TIME, SECOND_TIME, DAY, JSON)

Stored = int | float | str | None


class LeftOut:
    """Stands for a value that the mirror lacks, because it is too long or of an unknown class.

    Attributes:
        what: what the database has there, for people.
    """

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"<{self.what}>"

    def __eq__(self, other: object) -> bool:
        return self.what == other.what if isinstance(other, LeftOut) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.what)


class _Unknown(Exception):
    """A value that is neither JSON nor a literal of Python."""


def kept(value: Any) -> tuple[str, Stored]:
    """A value's kind, and what is kept of it. ``None`` is plain, and the same as no value."""
    kind = type(value)
    if value is None or kind is float:
        return (PLAIN, value) if value is None or value == value else (NAN, "nan")
    if kind is str:
        return _text(value)
    if kind is int:
        return (PLAIN, value) if -(1 << 63) <= value < 1 << 63 else _limited(value, LITERAL, repr)
    if kind is bool:
        return BOOL, int(value)
    if kind is datetime:
        return SECOND_TIME if value.fold else TIME, value.isoformat(" ")
    if kind is date:
        return DAY, value.isoformat()
    try:
        if kind in (list, dict) and _is_json(value, DEEP):
            return _limited(value, JSON, _as_json)
        _check_literal(value, DEEP)
        return _limited(value, LITERAL, repr)
    except (_Unknown, ValueError):
        return ABSENT, _described(value)


def restored(kind: str, stored: Any) -> Any:
    """The value that is kept as this. Raises ``ValueError`` for what :func:`kept` never gives."""
    return stored if stored is None else _RESTORED[kind](stored)


_RESTORED: dict[str, Callable[[Any], Any]] = {
    PLAIN: lambda stored: stored,
    BOOL: bool,
    TIME: datetime.fromisoformat,
    SECOND_TIME: lambda stored: datetime.fromisoformat(stored).replace(fold=1),
    DAY: date.fromisoformat,
    JSON: json.loads,
    LITERAL: ast.literal_eval,
    NAN: lambda _: math.nan,
    ABSENT: LeftOut,
}


def can_be_stored(text: str) -> bool:
    """Whether SQLite takes a text: one of Python's may have half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: str) -> tuple[str, str]:
    if len(value) > LONG:
        return ABSENT, _described(value)
    return (PLAIN, value) if can_be_stored(value) else (LITERAL, ascii(value))


def _limited(value: Any, kind: str, text_of: Callable[[Any], str]) -> tuple[str, str]:
    if isinstance(value, int) and value.bit_length() > LONG:
        return ABSENT, _described(value)
    text = text_of(value)
    return (kind, text) if len(text) <= LONG else (ABSENT, _described(value))


def _as_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _is_json(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is list:
        return depth > 0 and len(value) <= LONG and all(_is_json(part, depth - 1) for part in value)
    if kind is dict:
        return (
            depth > 0
            and len(value) <= LONG
            and all(type(key) is str and _is_json(part, depth - 1) for key, part in value.items())
        )
    return value is None or kind in (str, int, bool) or (kind is float and math.isfinite(value))


def _check_literal(value: Any, depth: int) -> None:
    kind = type(value)
    if kind in (list, tuple, set) and depth and len(value) <= LONG and (value or kind is not set):
        for part in value:
            _check_literal(part, depth - 1)
    elif kind is dict and depth and len(value) <= LONG:
        for key, part in value.items():
            _check_literal(key, depth - 1)
            _check_literal(part, depth - 1)
    elif kind is float or kind is complex:
        # Python has no literals for infinity and NaN.
        if not (math.isfinite(value.real) and math.isfinite(value.imag)):
            raise _Unknown
    elif kind is str:
        if len(value) > LONG or not value.isascii():
            value.encode()
    elif not (value is None or kind in (int, bool, bytes)):
        raise _Unknown


def _described(value: Any) -> str:
    """What a value is, in a few words."""
    kind = type(value)
    is_own = kind.__module__ == "builtins"
    name = class_of(value) or (kind.__name__ if is_own else f"{kind.__module__}.{kind.__name__}")
    if isinstance(value, Ref):
        return "an object of its own"
    if isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)):
        return f"{name} of {len(value):,}"
    return name
