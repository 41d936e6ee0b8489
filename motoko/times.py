"""Times and time spans, as people read them."""

from __future__ import annotations

from datetime import datetime


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


def moment(at: float) -> str:
    """A moment (seconds since 1970) in local time: ``2030-01-31 12:00:00``."""
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")


def since(at: float, now: float) -> str:
    """A moment in the past, and how long ago that is."""
    return f"{moment(at)} ({duration(max(0.0, now - at))} ago)"
