"""The states of a run, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CREATED = "CREATED"
TOBELAUNCHED = "TOBELAUNCHED"
LAUNCHED = "launched"
START = "START"
FINISHED = "FINISHED"
FAILED = "FAILED"

# BlackDynamite's own states for a failure, and those of batch systems.
FAILED_STATES = frozenset(
    [
        "FAILED",
        "FAILURE",
        "ERROR",
        "CANCELLED",
        "TIMEOUT",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "BOOT_FAIL",
        "DEADLINE",
        "LOST",
    ]
)
WAITING_STATES = frozenset({CREATED, TOBELAUNCHED})
RUNNING_STATES = frozenset({LAUNCHED, START})
UNENDED_STATES = WAITING_STATES | RUNNING_STATES


def state_of(entries: Mapping[str, Any]) -> str:
    """A run's state, from its entries, as a text, even if the entry holds something else."""
    return str(entries.get("state"))
