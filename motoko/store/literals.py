"""The values of constraints, read by the type that they are compared with. Pure logic."""

from __future__ import annotations

import ast
import decimal
import fractions
import math
import re
from datetime import date, datetime
from typing import Any

_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_BARE = re.compile(r"[\w./+-]+")

# Not `Exception`: a database that cannot be reached must not count as a failed comparison.
INCOMPARABLE = (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)
# `Warning`: under `-W error` the compilers of Python and of regular expressions raise warnings.
BAD_TEXT = (*INCOMPARABLE, SyntaxError, LookupError, MemoryError, Warning, re.error)


def quote(value: str) -> str:
    """A string, whatever it holds, as the value of a constraint; quoted only if it must be."""
    means_more = value == "None" or value.lower().split(".")[0] in ("and", "runs", "jobs")
    if _BARE.fullmatch(value) and not means_more:
        return value
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"


def read_literal(text: str, kind: type) -> Any:
    """The text as a value to compare a parameter of a type with; raises one of ``BAD_TEXT``."""
    if issubclass(kind, bool):
        return _BOOLS[text.strip().lower()]
    if issubclass(kind, int):
        try:
            return int(text)
        except ValueError:  # `x < 2.5` is a fair question about an int
            return read_literal(text, float)
    if issubclass(kind, float):
        number = float(text)
        if math.isinf(number) and "inf" not in text.lower():
            raise ValueError("too large")
        return number
    if issubclass(kind, str):
        return text
    if issubclass(kind, datetime):
        return plain(datetime.fromisoformat(text))
    if kind is date:
        return date.fromisoformat(text)
    if kind in (decimal.Decimal, fractions.Fraction):
        return kind(text)
    value = ast.literal_eval(text)
    if kind is list and isinstance(value, tuple):
        value = list(value)
    if kind in (list, dict, tuple, set) and not isinstance(value, kind):
        raise ValueError("another type")
    return value


def literal_or_none(text: str, kind: type) -> Any:
    try:
        return read_literal(text, kind)
    except BAD_TEXT:
        return None


def plain(value: Any) -> Any:
    """A value to compare: Python's own for a numpy value, local time for an aware datetime."""
    if isinstance(value, datetime):
        return value.astimezone().replace(tzinfo=None) if value.tzinfo else value
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value


def example(kind: type) -> str:
    if issubclass(kind, bool):
        return "write true or false"
    if issubclass(kind, int | float):
        return "write a number such as 3, -2.5 or 1e-3, or None"
    if issubclass(kind, datetime):
        return "write a date such as 2030-01-31 or '2030-01-31 12:00'"
    return "write it as in Python, in quotes if it holds a comma, such as '[1, 2]'"
