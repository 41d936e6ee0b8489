"""The processors of this machine."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))
