"""Periodic work, done by all processes of the machine at the same moments.

An idle workflow costs wake-ups; one wake-up for several timers costs less than several.
"""

from __future__ import annotations

import time

# Heartbeats are what an idle workflow costs. The supervisor calls 10 s without one "silent".
HEARTBEAT_S = 4.0


def until_next(period: float) -> float:
    """Seconds until the next multiple of ``period`` seconds on the machine's monotonic clock."""
    return period - time.monotonic() % period
