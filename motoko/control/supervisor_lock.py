"""One supervisor a workflow: its lock, which all hosts share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from motoko.config import WorkflowConfig
from motoko.control.daemon_records import (
    SUPERVISOR,
    recorded_identity,
    records,
    supervisor_elsewhere,
)
from motoko.control.runtime_directories import unwritable
from motoko.errors import MotokoError
from motoko.host.locks import locked_if_free, try_lock
from motoko.layout import Runtime

LOCK_PATIENCE_S = 2.0
POLL_S = 0.05


class AlreadySupervised(MotokoError):
    """Another process is the workflow's supervisor."""


@contextlib.contextmanager
def supervisor_lock(runtime: Runtime) -> Iterator[None]:
    """Be the only one who may start or stop daemons; raises ``AlreadySupervised`` otherwise."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        with _lock_if_free(runtime) as is_ours:
            if is_ours:
                yield
                return
        # A process that was killed keeps its locks until its last thread has ended.
        holder = recorded_identity(runtime, runtime.record(SUPERVISOR))
        if time.monotonic() > deadline or (holder is not None and holder.alive):
            raise AlreadySupervised(
                f"{runtime.directory} has a supervisor already",
                hint=f"see `motoko ps {runtime.directory}`",
            )
        time.sleep(POLL_S)


@contextlib.contextmanager
def _lock_if_free(runtime: Runtime) -> Iterator[bool]:
    with contextlib.ExitStack() as stack:
        try:
            is_ours = stack.enter_context(locked_if_free(runtime.lock(SUPERVISOR)))
        except OSError as error:
            raise unwritable(runtime, error) from error
        yield is_ours


def refuse_elsewhere(config: WorkflowConfig) -> None:
    """Raise ``AlreadySupervised`` if a supervisor on another host holds the lock."""
    elsewhere = supervisor_elsewhere(config)
    if elsewhere is None:
        return
    # Only its lock tells whether it lives, and only where all hosts share locks.
    with contextlib.suppress(FileNotFoundError):
        descriptor = try_lock(records(config).lock(SUPERVISOR), create=False)
        if descriptor is None:
            raise AlreadySupervised(
                f"{config.directory} is supervised on {elsewhere.host} (pid {elsewhere.pid})",
                hint=f"work there, or stop it: ssh {elsewhere.host} motoko kill {config.directory}",
            )
        os.close(descriptor)
