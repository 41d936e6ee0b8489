"""Values that records hold as objects: Python's own, and numpy's numbers and texts without numpy.

Values that cannot be read so are left to the stand-in of the caller. Pure logic.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable
from typing import Any

_FORMATS = {
    **{"f2": "e", "f4": "f", "f8": "d", "b1": "?"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q"},
    **{"u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
    **{"c8": "ff", "c16": "dd"},
}


def makers(
    stand_in: Callable[[str, str], Callable[..., Any]],
) -> dict[tuple[str, str], Callable[..., Any]]:
    """The makers of such scalars, by module and name; ``stand_in`` gives those of other values."""
    kinds: tuple[type, ...] = (complex, set, frozenset)
    kinds += (datetime.datetime, datetime.date, datetime.timedelta, datetime.timezone)
    genuine: dict[tuple[str, str], Callable[..., Any]] = {
        (kind.__module__, kind.__name__): _or_else(kind, stand_in(kind.__module__, kind.__name__))
        for kind in kinds
    }
    genuine["numpy", "dtype"] = _Dtype
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        genuine[module, "scalar"] = _or_else(_numpy_scalar, stand_in("numpy", "scalar"))
        genuine[module, "_reconstruct"] = stand_in("numpy", "ndarray")
    return genuine


def _or_else(make: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **options: Any) -> Any:
        try:
            return make(*args, **options)
        except (TypeError, ValueError, LookupError, ArithmeticError, struct.error):
            return other(*args, **options)

    return made


class _Dtype:
    """The type of a numpy scalar or array, as pickles describe it."""

    def __init__(self, description: Any = "", *_: Any) -> None:
        self._description = description
        self._order = "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self._order = ">"

    def value(self, data: bytes) -> Any:
        kind = self._description
        if kind[0] == "U":
            return data.decode("utf-32-be" if self._order == ">" else "utf-32-le").rstrip("\0")
        if kind[0] == "S":
            return data.rstrip(b"\0")
        parts = struct.unpack(self._order + _FORMATS[kind], data)
        return complex(*parts) if len(parts) > 1 else parts[0]


def _numpy_scalar(dtype: _Dtype, data: Any = None, *_: Any) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise TypeError(dtype)
    return dtype.value(data)
