"""Having a supervised workflow take over a changed motoko.yaml or bd.yaml."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from motoko.config import WorkflowConfig, snapshot
from motoko.config.config_changes import RESTART_WORKFLOW, Change, changes, pending
from motoko.control import client, daemon_records
from motoko.control.runtime_directories import unwritable


@dataclass(frozen=True)
class TakenOver:
    """The changes in a workflow's files, and whether they were taken over.

    Attributes:
        new: the changes since the last time.
        pending: changes that were taken over, now or before, and need restarts to take effect.
        refused: changes that the supervisor cannot take; because of them none was taken over.
    """

    new: list[Change] = field(default_factory=list)
    pending: list[Change] = field(default_factory=list)
    refused: list[Change] = field(default_factory=list)

    @property
    def refusal(self) -> str | None:
        """Why nothing was taken over, and what to do; ``None`` if nothing was refused."""
        if not self.refused:
            return None
        keys = ", ".join(change.key for change in self.refused)
        return (
            f"the files have changed: the changes count after {RESTART_WORKFLOW}, because of {keys}"
        )


def take_over(config: WorkflowConfig) -> TakenOver:
    """Have daemons that are started from now on use a configuration that was just loaded.

    Changes nothing without a supervisor, or if its version is one whose daemons read the files
    themselves. Raises ``MotokoError`` if ``.wf`` cannot be written.
    """
    runtime = daemon_records.records(config)
    taken = snapshot.read(runtime.snapshot, config.path)
    if taken is None or not client.is_supervised(config):
        return TakenOver()
    new = changes(taken.config, config)
    if refused := [change for change in new if change.reaches_supervisor]:
        return TakenOver(new, refused=refused)
    if new:
        taken = snapshot.extended(taken, config, time.time())
        try:
            snapshot.write(runtime.snapshot, taken)
        except OSError as error:
            raise unwritable(runtime, error) from error
    return TakenOver(new, pending(taken, _started(config)))


def _started(config: WorkflowConfig) -> dict[str, float]:
    """When the supervisor and each running daemon began to read files, at the earliest; by name."""
    status = client.supervisor_status(config)
    started = {} if status is None else status.started
    return {name: moment + snapshot.LOADING_S for name, moment in started.items()}
