"""The states of a run, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

CREATED = "CREATED"
TOBELAUNCHED = "TOBELAUNCHED"
LAUNCHED = "launched"
START = "START"
FINISHED = "FINISHED"
FAILED = "FAILED"

# The entry of a running run that tells its launcher to end it: who wants that.
CANCELLED_BY = "cancelled_by"

# BlackDynamite's own words for a failure, and those of batch systems.
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


class Outcome(Enum):
    """What somebody who waits for a run makes of it."""

    PENDING = "pending"
    FINISHED = "finished"
    FAILED = "failed"


def outcome(run: Mapping[str, Any]) -> Outcome:
    """The outcome of a run, from its entries.

    A run that has ended and moved on to a user's own state counts as it ended.
    """
    state = run.get("state")
    if state == FINISHED:
        return Outcome.FINISHED
    if state in FAILED_STATES:
        return Outcome.FAILED
    if state in WAITING_STATES or state in RUNNING_STATES:
        return Outcome.PENDING
    ended = run.get("ended_state")
    if ended in FAILED_STATES:
        return Outcome.FAILED
    return Outcome.FINISHED if ended == FINISHED else Outcome.PENDING
