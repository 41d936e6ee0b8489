"""Being a workflow's supervisor: its lock, its record, its log, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import json
import logging

from motoko.config import WorkflowConfig
from motoko.control import SUPERVISOR, check_startable, remove_leftovers, supervisor_lock
from motoko.identity import Identity
from motoko.log_files import LogFile, log_to
from motoko.runtime import Runtime, prepare, unwritable, write_atomically
from motoko.supervisor import daemons
from motoko.supervisor.report import Listener
from motoko.supervisor.shell import Supervisor


def supervise(
    config: WorkflowConfig,
    listener: Listener,
    *,
    launchers: bool = True,
    slots: int | None = None,
    generator: str | None = None,
) -> None:
    """Be the workflow's supervisor until it is stopped; then all its daemons have ended.

    Raises ``AlreadySupervised`` if there is one, and a ``MotokoError`` for what keeps it from
    starting; nothing was started then. If this process is killed all daemons go on.
    """
    check_startable(config, launchers, generator)
    runtime = prepare(config)
    with supervisor_lock(runtime):
        settings = config.supervision
        note = {"name": SUPERVISOR, **Identity.mine().to_dict()}
        try:
            log_file = LogFile(runtime.log(SUPERVISOR), settings.log_size, settings.log_files)
            write_atomically(runtime.record(SUPERVISOR), json.dumps(note))
        except OSError as error:
            raise unwritable(runtime, error) from error
        log_to(log_file, SUPERVISOR)
        for warning in config.warnings:
            logging.warning("%s", warning)
        options = daemons.LauncherOptions(slots, generator)
        asyncio.run(_run(config, runtime, listener, options if launchers else None))
        remove_leftovers(config, runtime)
        logging.info("stopped")


async def _run(
    config: WorkflowConfig,
    runtime: Runtime,
    listener: Listener,
    launchers: daemons.LauncherOptions | None,
) -> None:
    await Supervisor(config, runtime, listener, launchers).run()
