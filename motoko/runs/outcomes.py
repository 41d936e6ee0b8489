"""What a run's entries mean to an orchestrator that waits for the run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from motoko.runs.entries import OwnEntries
from motoko.runs.states import (
    FAILED_STATES,
    FINISHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)


class Outcome(Enum):
    """What a run's entries mean to an orchestrator that waits for the run."""

    PENDING = "pending"
    FINISHED = "finished"
    FAILED = "failed"


def outcome(run: Mapping[str, Any]) -> Outcome:
    """The outcome of a run, from its entries.

    A run that is in a user's own state after its end counts by how it ended.
    """
    state = state_of(run)
    if state == FINISHED:
        return Outcome.FINISHED
    if state in FAILED_STATES:
        return Outcome.FAILED
    if state in WAITING_STATES or state in RUNNING_STATES:
        return Outcome.PENDING
    ended = OwnEntries(run).ended_state
    if ended in FAILED_STATES:
        return Outcome.FAILED
    return Outcome.FINISHED if ended == FINISHED else Outcome.PENDING
