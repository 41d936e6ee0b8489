"""Sizes in bytes, as people write and read them. Units are decimal: 1 MB is a million bytes."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

KB, MB = 10**3, 10**6
_UNITS = MappingProxyType({"KB": KB, "MB": MB, "GB": 10**9, "TB": 10**12})
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(KB|MB|GB|TB)")


def size(text: Any) -> int:
    """The bytes that a size such as ``500MB`` or ``1.5 GB`` means.

    Raises ``ValueError`` for anything else.
    """
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no size")
    return round(float(match[1]) * _UNITS[match[2]])


def megabytes(count: int) -> str:
    """Bytes as whole megabytes: ``12 MB``."""
    return f"{count / MB:.0f} MB"


def shown(count: int) -> str:
    """Bytes with about three digits: ``340 KB``, ``1.25 GB``."""
    number, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    digits = 0 if unit == "bytes" or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {unit}"


def as_written(count: int) -> str:
    """Bytes as in motoko.yaml, in whole megabytes or, below one, kilobytes: ``10MB``, ``1KB``."""
    return f"{count // MB}MB" if count >= MB else f"{count // KB}KB"
