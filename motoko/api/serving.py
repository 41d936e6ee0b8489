"""Who serves a workflow's studies: found, or started where there is nobody."""

from __future__ import annotations

import logging
import os
import sys

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER
from motoko.control import client, daemon_records
from motoko.control.bridging import reached
from motoko.errors import NoSupervisor
from motoko.layout import Runtime, locate
from motoko.operations import starting

log = logging.getLogger(__name__)

# Set in every run: from inside one, nothing is ever started.
RUN_ID_VARIABLE = "BLACKDYNAMITE_RUN_ID"


def served(config: WorkflowConfig, *, starts_supervisor: bool = True) -> Runtime | None:
    """Where a workflow's servers listen; a supervisor is started if there is none.

    It is started detached and without launchers, and never from inside a run: then
    ``NoSupervisor`` is raised if there is none.

    Args:
        config: the workflow.
        starts_supervisor: otherwise a place that is known is taken for served.
    """
    if not any(study.is_local for study in config.studies.values()):
        return locate(config)
    runtime = reached(config) if client.is_supervised(config) else locate(config)
    if os.environ.get(RUN_ID_VARIABLE):
        if runtime is None:
            raise NoSupervisor(
                f"no supervisor runs for {config.path}, and a run starts none",
                hint="run `motoko supervise` outside",
            )
        return runtime
    if not starts_supervisor and runtime is not None:
        return runtime
    daemon_records.refuse_guests(config)
    if not client.is_supervised(config):
        starting.check_startable(config, launchers=False)
        print(
            f"motoko: no supervisor runs for {config.path}: starting one "
            "(without launchers; `motoko supervise` adds them, `motoko kill` stops all)",
            file=sys.stderr,
        )
        starting.start_detached(config.path, launchers=False)
    return reached(config)


def warn_without_launchers(config: WorkflowConfig) -> bool:
    """Say so if the supervisor has no launcher: what is created then is not run."""
    status = client.supervisor_status(config)
    if lacks := bool(status and not status.of_kind(LAUNCHER)):
        log.warning(
            "no launcher runs: runs that are created stay so; `motoko launcher` starts them"
        )
    return lacks
