"""Being a workflow's supervisor: its lock, its record, its log, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator

from motoko.config import WorkflowConfig
from motoko.control import SUPERVISOR, check_startable, living_daemons
from motoko.errors import MotokoError
from motoko.identity import Identity
from motoko.runtime import Runtime, prepare, write_atomically
from motoko.supervisor.report import Listener
from motoko.supervisor.shell import Supervisor


class AlreadySupervised(MotokoError):
    """Another process is the workflow's supervisor."""


def supervise(
    config: WorkflowConfig, listener: Listener, *, launchers: bool = True, slots: int | None = None
) -> None:
    """Be the workflow's supervisor until it is stopped; then all its daemons have ended.

    Raises ``AlreadySupervised`` if there is one, and a ``MotokoError`` for what keeps it from
    starting; nothing was started then. If this process is killed all daemons go on.
    """
    check_startable(config)
    runtime = prepare(config)
    with _lock(runtime):
        _log_to(runtime)
        for warning in config.warnings:
            logging.warning("%s", warning)
        record = runtime.record(SUPERVISOR)
        note = {"name": SUPERVISOR, **Identity.mine().to_dict()}
        write_atomically(record, json.dumps(note))
        asyncio.run(_run(config, runtime, listener, launchers=launchers, slots=slots))
        clean(config, runtime)
        logging.info("stopped")


async def _run(
    config: WorkflowConfig,
    runtime: Runtime,
    listener: Listener,
    *,
    launchers: bool,
    slots: int | None,
) -> None:
    await Supervisor(config, runtime, listener, launchers=launchers, slots=slots).run()


@contextlib.contextmanager
def _lock(runtime: Runtime) -> Iterator[None]:
    with open(runtime.lock(SUPERVISOR), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadySupervised(f"{runtime.directory} has a supervisor already") from None
        yield


def _log_to(runtime: Runtime) -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        filename=runtime.log(SUPERVISOR),
        level=os.environ.get("MOTOKO_LOG_LEVEL", "INFO"),
        format=f"%(asctime)s.%(msecs)03dZ %(levelname)s {SUPERVISOR} %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


def clean(config: WorkflowConfig, runtime: Runtime) -> None:
    """Remove the records of what has ended, and the sockets. The caller holds the lock."""
    living = {runtime.record(daemon.name) for daemon in living_daemons(runtime)}
    for record in (runtime.wf / "daemons").glob("*.json"):
        if record not in living:
            record.unlink(missing_ok=True)
    if living:
        return  # something cannot even be killed (a hung file system): it may hold a socket
    for path in runtime.sockets.iterdir():
        if path.is_socket():
            path.unlink(missing_ok=True)
    # A directory that the user has named is the user's.
    if config.runtime_dir is None:
        with contextlib.suppress(OSError):  # somebody else's file is in it
            runtime.sockets.rmdir()
