"""The supervisor that serves a workflow's studies: found, or started if there is none."""

from __future__ import annotations

import logging
import os
import sys
from shlex import quote

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER
from motoko.control import client, daemon_records
from motoko.control.bridging import reached
from motoko.errors import NoSupervisor
from motoko.layout import Runtime, locate
from motoko.operations import starting

log = logging.getLogger(__name__)

# Set in every run: a process inside a run never starts a supervisor.
RUN_ID_VARIABLE = "BLACKDYNAMITE_RUN_ID"


def served(config: WorkflowConfig, *, starts_supervisor: bool = True) -> Runtime | None:
    """Where a workflow's servers listen; a supervisor is started if there is none.

    The supervisor is started detached and without launchers. Inside a run none is started:
    ``NoSupervisor`` is raised if there is none.

    Args:
        config: the workflow.
        starts_supervisor: if false, a recorded socket directory is assumed to be served.
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
            f"motoko: no supervisor runs for {config.path}: starting one, which stays (without "
            "launchers; `motoko supervise` adds them, "
            f"`motoko kill {quote(str(config.directory))}` stops all)",
            file=sys.stderr,
        )
        starting.start_detached(config.path, launchers=False)
    return reached(config)


def warn_without_launchers(config: WorkflowConfig) -> bool:
    """Warn if the supervisor has no launcher, so that new runs are not started; returns whether."""
    status = client.supervisor_status(config)
    if lacks := bool(status and not status.of_kind(LAUNCHER)):
        log.warning(
            "no launcher runs: created runs are not started; `motoko launcher` starts launchers"
        )
    return lacks
