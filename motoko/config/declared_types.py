"""The types of job and run parameters, by their names in bd.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_TYPES = (int, float, str, bool, list, dict, tuple, complex, bytes, set, frozenset, object)
# The names that BlackDynamite evaluates. `any` becomes Python's function, which all values pass.
TYPES: Mapping[str, type] = MappingProxyType({**{t.__name__: t for t in _TYPES}, "any": object})

# The texts that stand for a bool, as in YAML.
_TRUTH = {"true": True, "false": False, "yes": True, "no": False}


class Unfit(Exception):
    """A value that is not of the declared type, and that no value of that type equals."""


def fitted(value: Any, kind: type) -> Any:
    """A value as one of a declared type; ``Unfit`` if something would be lost.

    ``None`` is of every type, an int will do where a float is declared, and a bool is no number.
    """
    is_bool = isinstance(value, bool)
    if value is None or (isinstance(value, kind) and not (kind is int and is_bool)):
        return value
    match kind.__name__, value:
        case "int" | "float" | "str" | "complex", bool():
            pass
        case "int", float() if math.isfinite(value) and value.is_integer():
            return int(value)
        case "float", int():
            return value
        case "bool", int() | float() if value in (0, 1):
            return bool(value)
        case "str", int() | float() if math.isfinite(value):
            return str(value)
        case "complex", int() | float():
            return complex(value)
        case "complex", str():
            try:
                return complex(value.replace(" ", ""))
            except ValueError:
                pass
        case "tuple", list():
            return tuple(value)
        case "list", tuple():
            return list(value)
        case "set" | "frozenset", list() | tuple() | set() | frozenset():
            try:
                members = frozenset(value)
            except TypeError:
                raise Unfit(value) from None
            if len(members) == len(value):
                return kind(members)
    raise Unfit(value)


def converted(value: Any, kind: type) -> Any:
    """A value that was made for another declared type; ``Unfit`` if something would be lost.

    As :func:`fitted`; besides, texts are read as what they say, and bools become 1 and 0 where a
    number is declared.
    """
    match kind.__name__, value:
        case "int" | "float" | "complex" | "str", bool():
            return kind(value)
        case "bool", str() if value.lower() in _TRUTH:
            return _TRUTH[value.lower()]
        case "int" | "float", str():
            try:
                return kind(value)
            except ValueError:
                raise Unfit(value) from None
    return fitted(value, kind)
