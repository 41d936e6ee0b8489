"""Comparing values of parameters and entries, with one answer in all processes. Pure logic.

Values are compared exactly and with their types, at any depth: ``2`` is not ``2.0``, the key ``1``
is not ``"1"``, and not-a-number is the same as itself. Dicts and sets have no order, and minus zero
is zero. Values that each process writes differently, such as those with an address, cannot be
compared.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import hashlib
import math
import pathlib
import pickle
import sys
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from motoko.errors import ParameterError

_NUMBERS = (bool, int, float)
# numpy's scalars that Python's own types hold without loss: booleans, numbers, texts.
_PLAIN_KINDS = "biufcSU"
_PLAIN_SIZE_MAX = 16  # bytes: Python has no longer numbers, such as long doubles
_DICTS = (dict, OrderedDict, defaultdict)


class NoStableValue(TypeError):
    """A value, or a part of it, that cannot be compared with another process's value.

    Attributes:
        kind: the name of its type.
    """

    def __init__(self, value: Any, problem: str = "") -> None:
        self.kind = type(value).__qualname__
        if type(value).__module__ not in ("builtins", "__main__"):
            self.kind = f"{type(value).__module__}.{self.kind}"
        super().__init__(problem or f"of type {self.kind}")


def plain(value: Any) -> Any:
    """A value with Python's own numbers and texts in place of numpy's and of enumerations'.

    This holds at any depth of lists, tuples, dicts and sets. Arrays stay arrays.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind in (list, tuple, set, frozenset):
        return kind(plain(item) for item in value)
    if kind is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if _is_numpy_scalar(value):
        fits = value.dtype.kind in _PLAIN_KINDS and value.dtype.itemsize <= _PLAIN_SIZE_MAX
        return value.item() if fits or value.dtype.kind in "SU" else value
    if isinstance(value, enum.Enum):
        for base in (bool, int, float, str, bytes):
            if isinstance(value, base):
                return base(value.value)
    return value


def digest(values: Mapping[str, Any]) -> str:
    """A digest that only the same values under the same names have, in any process.

    Raises ``NoStableValue``.
    """
    parts = (_text(name) + _parameter(values[name]) for name in sorted(values))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def check_stable(value: Any) -> None:
    """Raise ``NoStableValue`` if a value cannot be compared with another process's value."""
    if type(value) not in _SCALARS:
        _encoded(value)


def check_parameters(study: str, kind: str, values: Mapping[str, Any]) -> None:
    """Raise ``ParameterError`` for a parameter whose value no other process could find again.

    Args:
        study: the study's name, for the message.
        kind: ``"job"`` or ``"run"``, for the message.
        values: the parameters, made plain.
    """
    for name, value in values.items():
        try:
            check_stable(value)
        except NoStableValue as error:
            raise ParameterError(
                f"study {study}: {kind} parameter {name!r} has, or holds, a value {error}: "
                "no other process could tell whether it has the same",
                hint="give numbers, texts, dates, and lists, tuples, dicts, sets and numpy arrays "
                "of them",
            ) from None


def same_parameter(one: Any, other: Any) -> bool:
    """Whether two values of one parameter are the same.

    A parameter's declared type decides what a number is: so here, and only here, ``2`` is ``2.0``.
    """
    if type(one) in _NUMBERS and type(other) in _NUMBERS:
        return bool(one == other) or (one != one and other != other)
    return same(one, other)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same. Values that are not stable are compared as stored."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in (str, int, bool, bytes):
        return bool(one == other)
    try:
        return _encoded(one) == _encoded(other)
    except NoStableValue:
        pass
    try:
        return pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # noqa: BLE001 (whatever a class does to its pickling)
        return False


def _parameter(value: Any) -> bytes:
    """A declared parameter's value: numbers of all types are encoded alike."""
    if type(value) in _NUMBERS and math.isfinite(value) and value == int(value):
        return _number(int(value))
    return _encoded(value)


def _encoded(value: Any) -> bytes:
    try:
        return _encode(value)
    except RecursionError:
        raise NoStableValue(value, "that holds itself, or is nested too deeply") from None


def _encode(value: Any) -> bytes:
    kind = type(value)
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    if kind in (list, tuple):
        return _joined(b"l" if kind is list else b"t", map(_encode, value))
    if kind in _DICTS:
        pairs = ((_encode(key), _encode(item)) for key, item in value.items())
        return _joined(b"d", (part for pair in sorted(pairs) for part in pair))
    if kind in (set, frozenset):
        return _joined(b"e", sorted(map(_encode, value)))
    if kind in _WRITTEN or isinstance(value, pathlib.PurePath):
        return _joined(b"o", (_text(kind.__qualname__), _text(repr(value))))
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ndarray:
        return _array(numpy, value)
    if _is_numpy_scalar(value) and not value.dtype.hasobject:
        return _joined(b"n", (_text(value.dtype.str), _text(repr(value))))
    raise NoStableValue(value)


def _array(numpy: Any, value: Any) -> bytes:
    dtype = value.dtype
    head = _text(f"{dtype.newbyteorder('<').descr} {value.shape}")
    if dtype.kind == "O":
        return _joined(b"a", (head, *map(_encode, value.ravel())))
    if dtype.hasobject:
        raise NoStableValue(value, f"an array of {dtype}")
    if dtype.kind in "fc" and dtype.itemsize > _PLAIN_SIZE_MAX // (2 if dtype.kind == "f" else 1):
        # Their bytes include padding.
        return _joined(b"a", (head, *(_text(repr(item)) for item in value.ravel())))
    if dtype.kind == "f":
        value = numpy.where(numpy.isnan(value), numpy.nan, value) + 0.0  # one zero, one nan
    return _joined(b"a", (head, value.astype(dtype.newbyteorder("<"), order="C").tobytes()))


def _is_numpy_scalar(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0


def _joined(mark: bytes, parts: Iterable[bytes]) -> bytes:
    # With lengths, so that no two lists of parts are joined to the same bytes.
    return mark + b"".join(b"%d:%b" % (len(part), part) for part in parts) + b"."


def _text(value: str) -> bytes:
    return _joined(b"s", (value.encode("utf-8", "surrogatepass"),))


def _number(value: int) -> bytes:
    return b"i%x" % value


def _float(value: float) -> bytes:
    return b"f" + (value + 0.0).hex().encode() if value == value else b"fnan"


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _number,
    float: _float,
    complex: lambda value: _joined(b"c", (_float(value.real), _float(value.imag))),
    str: _text,
    bytes: lambda value: _joined(b"b", (value,)),
}
# Types whose ``repr`` tells the whole value.
_WRITTEN = frozenset(
    {decimal.Decimal, fractions.Fraction, range, uuid.UUID}
    | {datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone}
)
