"""Periodic work, done by all processes of the machine at the same moments.

An idle workflow costs wake-ups; one wake-up for several timers costs less than several.
"""

from __future__ import annotations

import time


def until_next(period: float) -> float:
    """Seconds until the next multiple of ``period`` seconds on the machine's monotonic clock."""
    return period - time.monotonic() % period
