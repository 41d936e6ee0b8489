"""Which transitions wake a launcher: those of others, as it knows what it has done itself."""

from __future__ import annotations

from typing import Protocol

from motoko.bus.messages import Transition
from motoko.runs.states import CREATED, LAUNCHED, RUNNING_STATES


class _Executors(Protocol):
    def has(self, run_id: int) -> bool:
        """Whether an executor has a run, or has it prepared."""

    def is_ahead(self, run_id: int) -> bool:
        """Whether a run is prepared, and has not started."""


class _NewRuns(Protocol):
    def has(self, change: Transition) -> bool:
        """Whether this is the creation of a run that was found already."""


class WakeFilter:
    """The filter of one launcher.

    Args:
        executors: have the runs that are executed.
        new_runs: have found runs before the bus told of them.

    Attributes:
        is_ready: whether the launcher has looked at all runs once; before, everything wakes it.
    """

    def __init__(self, executors: _Executors, new_runs: _NewRuns) -> None:
        self.is_ready = False
        self._executors = executors
        self._new_runs = new_runs

    def accepts(self, change: Transition) -> bool:
        """Whether there may be something to do about a transition."""
        if not self.is_ready or change.new == CREATED:
            return not self._new_runs.has(change)
        if not self._executors.has(change.run_id):
            return change.old == CREATED and change.new not in RUNNING_STATES
        return change.new not in RUNNING_STATES or (
            change.new != LAUNCHED and self._executors.is_ahead(change.run_id)
        )
