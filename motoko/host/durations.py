"""Moments, time spans and counts, as people read and write them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_PARTS = re.compile(
    r"(?:([0-9.]+)\s*d\s*)?(?:([0-9.]+)\s*h\s*)?(?:([0-9.]+)\s*m(?:in)?\s*)?(?:([0-9.]+)\s*s)?"
)
# As Slurm reads them: one colon stands between minutes and seconds, unless days come before.
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]+):([0-9][0-9])")
_DAYS = re.compile(r"([0-9]+)-([0-9]{1,2})(?::([0-9][0-9]))?(?::([0-9][0-9]))?")
EXAMPLES = "90 (seconds), 1h30m, 10:00 (minutes:seconds), 2:00:00 or 1-12:00 (days-hours:minutes)"


def seconds(value: Any) -> float:
    """A time span, in seconds.

    Args:
        value: a number of seconds, or a text: such a number, ``90s``, ``1h30m``, ``2h``, ``1d``, or
            Slurm's ``mm:ss``, ``hh:mm:ss``, ``d-hh``, ``d-hh:mm`` and ``d-hh:mm:ss``.

    Raises ``ValueError`` for anything else. That includes infinite numbers, repeated units, units
    in another order, and, after a larger unit, minutes and seconds beyond 59 or hours beyond 23.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    text = str(value).strip()
    duration = None
    if isinstance(value, str) and text:
        duration = _number(text) or _clock(text) or _parts(text)
    if duration is None:
        raise ValueError(f"{value!r} is no duration")
    return duration[0]


def _number(text: str) -> tuple[float] | None:
    return (float(text),) if _NUMBER.fullmatch(text) else None


def _clock(text: str) -> tuple[float] | None:
    if days := _DAYS.fullmatch(text):
        whole, hours, minutes, rest = (int(part or 0) for part in days.groups())
        in_range = hours < 24 and minutes < 60 and rest < 60
    elif clock := _CLOCK.fullmatch(text):
        whole, (hours, minutes, rest) = 0, (int(part or 0) for part in clock.groups())
        in_range = rest < 60 and (clock[1] is None or (minutes < 60 and len(clock[2]) == 2))
    else:
        return None
    return (((whole * 24 + hours) * 60 + minutes) * 60.0 + rest,) if in_range else None


def _parts(text: str) -> tuple[float] | None:
    # A capital M could mean months.
    match = None if "M" in text else _PARTS.fullmatch(text.lower())
    if match is None or not any(match.groups()):
        return None
    try:
        counts = [float(part or 0) for part in match.groups()]
    except ValueError:  # 1.2.3h
        return None
    return (sum(count * _UNITS[unit] for count, unit in zip(counts, "dhms", strict=True)),)


def duration(seconds: float | None) -> str:
    """A time span: ``0.35s``, ``12.3s``, ``4m 3s``, ``2h 5m``, ``3d 4h``."""
    if seconds is None:
        return "-"
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s"


def uptime(seconds: float | None) -> str:
    """A time span in whole seconds: ``9s``, ``4m 3s``, ``2h 5m``, ``3d 4h``."""
    if seconds is None:
        return "-"
    return f"{int(seconds)}s" if 0 <= seconds < 60 else duration(float(int(seconds)))


def moment(at: float) -> str:
    """A moment (seconds since 1970) in local time: ``2030-01-31 12:00:00``."""
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")


def since(at: float, now: float) -> str:
    """A moment in the past, and how long ago it was."""
    return f"{moment(at)} ({duration(max(0.0, now - at))} ago)"


def counted(number: int, what: str, plural: str = "s") -> str:
    """A number of things: ``1 slot``, ``2 slots``, ``2 studies``."""
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}{plural}"
