"""Periodic work, done by all processes of the machine at the same moments.

An idle workflow costs wake-ups; one wake-up for several timers costs less than one for each.
"""

from __future__ import annotations

import os
import time

from motoko.host.identity import Identity

# Heartbeats are the main cost of an idle workflow. After 10 s without one a daemon is "silent".
HEARTBEAT_S = 4.0


def until_next(period: float) -> float:
    """Seconds until the next multiple of ``period`` seconds on the machine's monotonic clock."""
    return period - time.monotonic() % period


def started_at(identity: Identity) -> float:
    """When a process of this host was started (seconds since 1970), to a hundredth."""
    return time.time() - uptime_s(identity)


def uptime_s(identity: Identity) -> float:
    """How long a process of this host has been running, in seconds, to a hundredth."""
    started = identity.start_ticks / os.sysconf("SC_CLK_TCK")
    return round(max(time.clock_gettime(time.CLOCK_BOOTTIME) - started, 0.0), 2)


def ticks_at(moment: float) -> int:
    """The start ticks of a process of this host that was started at a moment (since 1970)."""
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - moment)
    return round(uptime * os.sysconf("SC_CLK_TCK"))
