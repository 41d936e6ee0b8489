"""Ending a workflow's supervisor and daemons from outside, whatever state they are in."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence

from motoko import control
from motoko.config import WorkflowConfig
from motoko.control import Announce, LivingDaemon
from motoko.errors import MotokoError
from motoko.identity import Identity
from motoko.runtime import Runtime, locate

ANSWER_S = 5.0
DEADLINE_S = 45.0
KILLED_S = 5.0
# A publisher is heard a moment after it has connected, and nothing tells when.
ANNOUNCE_S = 0.3


def stop(config: WorkflowConfig, announce: Announce) -> None:
    """See :func:`motoko.control.stop`."""
    runtime = control.records(config)
    supervisor = control.supervisor_identity(config)
    daemons = control.living_daemons(runtime)
    if supervisor is not None:
        _stop_supervisor(supervisor, runtime, daemons, announce)
    # What is left now nobody looks after: its supervisor had been killed, or was just now.
    _stop_orphans(config, runtime, announce)
    left = [daemon for daemon in daemons if daemon.identity.alive]
    for daemon in daemons:
        if daemon not in left:
            announce(f"stopped {daemon.name} (pid {daemon.identity.pid})")
    if left:
        names = ", ".join(f"{daemon.name} (pid {daemon.identity.pid})" for daemon in left)
        raise MotokoError(f"cannot be killed: {names}", hint="is a file system hanging?")


def _stop_supervisor(
    supervisor: Identity, runtime: Runtime, daemons: list[LivingDaemon], announce: Announce
) -> None:
    """Have the supervisor stop everything; kill it if it cannot."""
    answer = control.ask(runtime, "stop", ANSWER_S)
    if answer is not None:
        if _gone([supervisor, *(daemon.identity for daemon in daemons)], DEADLINE_S):
            announce(f"stopped supervisor (pid {supervisor.pid})")
            return
    # It may be starting, and have no control socket yet.
    elif supervisor.signal(signal.SIGTERM) and _gone([supervisor], ANSWER_S):
        announce(f"stopped supervisor (pid {supervisor.pid})")
        return
    if supervisor.signal(signal.SIGKILL):
        _gone([supervisor], KILLED_S)
        announce(f"killed supervisor (pid {supervisor.pid}), which did not answer")


def _stop_orphans(config: WorkflowConfig, runtime: Runtime, announce: Announce) -> None:
    """Stop the daemons that have no supervisor, in the order in which it would."""
    if not control.living_daemons(runtime):
        return
    # With its lock nobody starts again what is being stopped.
    with control.supervisor_lock(runtime), _announcement(config):
        for group in control.STOP_ORDER:
            daemons = [d for d in control.living_daemons(runtime) if d.kind == group.kind]
            _stop_group(daemons, group, announce)
        if locate(config) is not None:
            control.remove_leftovers(config, runtime)


def _stop_group(
    daemons: Sequence[LivingDaemon], group: control.StopGroup, announce: Announce
) -> None:
    for daemon in daemons:
        daemon.identity.signal(group.signal)
    if not _gone([daemon.identity for daemon in daemons], group.deadline):
        for daemon in daemons:
            if daemon.identity.signal(signal.SIGKILL):
                announce(f"{daemon.name} does not end, killing it")
        _gone([daemon.identity for daemon in daemons], KILLED_S)


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
