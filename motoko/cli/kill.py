"""``motoko kill``: stop the workflow, with its launchers and their local runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from motoko import control
from motoko.config import WorkflowConfig, load
from motoko.control import LivingDaemon
from motoko.errors import MotokoError
from motoko.identity import Identity
from motoko.runtime import Runtime, locate

ANSWER_S = 5.0
DEADLINE_S = 45.0
KILLED_S = 5.0
# A publisher is heard a moment after it has connected, and nothing tells when.
ANNOUNCE_S = 0.3


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--now", is_flag=True, help="Do not ask, even if runs are running.")
def command(directory: Path | None, now: bool) -> None:
    """Stop the workflow: its supervisor, its daemons and the runs they started here.

    Runs in a batch system go on. On a terminal it asks first if local runs are running.
    """
    config = load(directory)
    runtime = control.records(config)
    supervisor = control.supervisor_identity(config)
    daemons = control.living_daemons(runtime)
    if supervisor is None and not daemons:
        click.echo("nothing is running")
        return
    status = control.supervisor_status(config, ANSWER_S) if supervisor else None
    if not now and sys.stdin.isatty() and sys.stderr.isatty():
        _confirm(status)
    if supervisor is not None:
        _stop_supervisor(supervisor, runtime, [daemon.identity for daemon in daemons])
        click.echo(f"stopped supervisor (pid {supervisor.pid})")
    # What is left now nobody looks after: its supervisor had been killed, or was just now.
    _stop_orphans(config, runtime)
    left = [daemon for daemon in daemons if daemon.identity.alive]
    for daemon in daemons:
        if daemon not in left:
            click.echo(f"stopped {daemon.name} (pid {daemon.identity.pid})")
    if left:
        names = ", ".join(f"{daemon.name} (pid {daemon.identity.pid})" for daemon in left)
        raise MotokoError(f"cannot be killed: {names}", hint="is a file system hanging?")


def _confirm(status: dict[str, Any] | None) -> None:
    daemons = status["daemons"] if status else []
    running = sum(daemon.get("counts", {}).get("running", 0) for daemon in daemons)
    if running:
        runs = "1 run is" if running == 1 else f"{running} runs are"
        click.confirm(f"{runs} running and will be ended. Stop?", abort=True, err=True)


def _stop_supervisor(supervisor: Identity, runtime: Runtime, daemons: list[Identity]) -> None:
    """Have the supervisor stop everything; kill it if it cannot."""
    answer = control.ask(runtime, "stop", ANSWER_S)
    if answer is not None or supervisor.signal(signal.SIGTERM):
        patience = DEADLINE_S if answer is not None else ANSWER_S
        if _gone([supervisor, *daemons] if answer else [supervisor], patience):
            return
    if supervisor.signal(signal.SIGKILL):
        click.echo(f"the supervisor (pid {supervisor.pid}) does not answer: killed", err=True)
        _gone([supervisor], KILLED_S)


def _stop_orphans(config: WorkflowConfig, runtime: Runtime) -> None:
    """Stop the daemons that have no supervisor, in the order in which it would."""
    if not control.living_daemons(runtime):
        return
    with _instead_of_supervisor(runtime), _announcement(config):
        for group in control.STOP_ORDER:
            daemons = [d for d in control.living_daemons(runtime) if d.kind == group.kind]
            _stop_all(daemons, group)
        _remove_sockets(config, runtime)


def _stop_all(daemons: Sequence[LivingDaemon], group: control.StopGroup) -> None:
    for daemon in daemons:
        daemon.identity.signal(group.signal)
    if not _gone([daemon.identity for daemon in daemons], group.deadline):
        for daemon in daemons:
            if daemon.identity.signal(signal.SIGKILL):
                click.echo(f"{daemon.name} does not end, killed", err=True)
        _gone([daemon.identity for daemon in daemons], KILLED_S)


@contextlib.contextmanager
def _instead_of_supervisor(runtime: Runtime) -> Iterator[None]:
    """Hold the supervisor's lock, so that nobody starts again what is being stopped."""
    with open(runtime.lock(control.SUPERVISOR), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MotokoError(
                "a supervisor is being started at this moment", hint="repeat `motoko kill`"
            ) from None
        yield


@contextlib.contextmanager
def _announcement(config: WorkflowConfig) -> Iterator[None]:
    """Tell the orchestrators that the workflow is being stopped, as a supervisor does."""
    runtime = locate(config)
    if runtime is None:  # the sockets are gone, and with them the bus
        yield
        return
    from motoko.bus.messages import DaemonStatus
    from motoko.bus.publisher import Publisher

    with Publisher(runtime.bus_publish) as publisher:
        time.sleep(ANNOUNCE_S)
        publisher.send(DaemonStatus(control.SUPERVISOR, os.getpid(), "stopping"))
        yield


def _remove_sockets(config: WorkflowConfig, runtime: Runtime) -> None:
    control.remove_leftovers(config, runtime)


def _gone(identities: Sequence[Identity], timeout: float) -> bool:
    """Whether all these processes have ended, waiting at most ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    for identity in identities:
        pidfd = identity.open_pidfd()
        if pidfd is None:
            continue
        try:
            patience = max(deadline - time.monotonic(), 0)
            if not select.select([pidfd], [], [], patience)[0]:
                return False
        finally:
            os.close(pidfd)
    return True
