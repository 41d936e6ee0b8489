"""The processors of this machine."""

from __future__ import annotations

import os

_STANDS_BACK = 10  # the niceness that the command `nice` adds


def usable_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def stand_back() -> None:
    """Have this process wait for a processor while others of the machine want it."""
    os.nice(_STANDS_BACK)
