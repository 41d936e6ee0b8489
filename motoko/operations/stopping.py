"""Ending a workflow's supervisor and daemons from outside, whatever state they are in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, ZEO, daemon_of
from motoko.config.supervision import KILL_DEADLINE_S
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.daemon_records import SUPERVISOR, LivingDaemon
from motoko.control.detached_requests import not_wanted
from motoko.control.protocol import RequestRefused, StopDaemonsRequest, StopRequest
from motoko.errors import NotStopped
from motoko.host.accounts import name_of
from motoko.host.identity import Identity, gone
from motoko.layout import Runtime, locate
from motoko.operations.starting import Announce
from motoko.store.blackdynamite_daemons import ForeignDaemon

ANSWER_S = 5.0
# Subscribers hear a publisher a moment after it has connected; there is no signal for it.
ANNOUNCE_S = 0.3
POLL_S = 0.1


def ignore(line: str) -> None:
    """The default of ``announce`` and ``detail``."""


def stop(
    config: WorkflowConfig,
    announce: Announce = ignore,
    detail: Announce = ignore,
    *,
    command: str = "motoko kill",
) -> None:
    """Stop the workflow's supervisor, its daemons and their local runs, if there are any.

    Returns when all of them have ended, whether their supervisor is alive, frozen or was killed.
    ``announce`` gets a line for each process that was stopped, ``detail`` one for each signal that
    is sent. Orchestrators that wait are told which ``command`` has stopped the workflow, and whose.
    Raises ``MotokoError`` if a process cannot even be killed, or if the supervisor is on another
    host that cannot be reached.
    """
    by = f"`{command}` of {name_of(os.getuid())} (pid {os.getpid()} on {socket.gethostname()})"
    daemon_records.refuse_guests(config)
    runtime = daemon_records.records(config)
    if away := daemon_records.supervisor_elsewhere(config):
        _stop_elsewhere(config, away, runtime, by, announce)
        return
    supervisor = daemon_records.supervisor_identity(config)
    daemons = daemon_records.living_daemons(runtime)
    if supervisor is not None:
        with _following(runtime, detail):
            _stop_supervisor(config, supervisor, runtime, by, announce, detail)
    not_wanted(runtime)  # detached orchestrators, of this supervisor and of earlier ones
    # Daemons that are left now have no supervisor: it was killed, before or just now.
    _stop_orphans(config, runtime, by, announce, detail)
    _say_what_has_stopped(daemons, announce)


def stop_study(
    config: WorkflowConfig, study: str, announce: Announce, detail: Announce = ignore
) -> bool:
    """Stop the launcher of a study, with its local runs, and its ZEO server; nothing else.

    Both stay stopped until ``motoko supervise`` or ``motoko launcher`` is called.

    Returns:
        Whether there was anything to stop.

    Raises:
        MotokoError: the supervisor does not answer, or a process cannot even be killed.
    """
    names = {daemon_of(LAUNCHER, study), daemon_of(ZEO, study)}
    daemon_records.refuse_guests(config)
    runtime = daemon_records.records(config)
    away = daemon_records.supervisor_elsewhere(config)
    if away is not None and not client.is_supervised(config):
        supervisor_lock.refuse_elsewhere(config)
    supervisor = away or daemon_records.supervisor_identity(config)
    daemons = [d for d in daemon_records.living_daemons(runtime) if d.name in names]
    if supervisor is None:
        if not daemons:
            return False
        with supervisor_lock.supervisor_lock(runtime):
            _stop_in_order(config, daemons, announce, detail)
        _say_what_has_stopped(daemons, announce)
        return True
    with _following(runtime, detail):
        status = client.supervisor_status(config)
        known = [
            daemon.name
            for daemon in (status.daemons if status else [])
            if daemon.name in names and daemon.state != "stopped"
        ]
        if status and not known:
            return False
        detail(f"asking the supervisor (pid {supervisor.pid}) to stop {', '.join(sorted(known))}")
        try:
            if not known or not client.ask(runtime, StopDaemonsRequest(known)):
                raise RequestRefused("it does not answer")
        except RequestRefused as refused:
            raise RequestRefused(
                f"the supervisor (pid {supervisor.pid}) cannot stop study {study}: {refused}",
                hint=f"`motoko kill {config.directory}` stops the whole workflow",
            ) from refused
        await_stopped(config, known)
    if away is not None:
        announce(f"stopped {', '.join(sorted(known))} (on {away.host})")
    _say_what_has_stopped(daemons, announce)
    return True


def _stop_elsewhere(
    config: WorkflowConfig, supervisor: Identity, runtime: Runtime, by: str, announce: Announce
) -> None:
    """Have the supervisor of another host stop everything; it then removes its record.

    Raises ``MotokoError`` if the supervisor cannot be asked, or if it does not end.
    """
    if client.ask(runtime, StopRequest(by), ANSWER_S) is None:
        supervisor_lock.refuse_elsewhere(config)
        return  # the supervisor has ended meanwhile
    not_wanted(runtime)
    deadline = time.monotonic() + config.supervision.stopped_s
    while daemon_records.supervisor_elsewhere(config) == supervisor:
        if time.monotonic() > deadline:
            raise NotStopped(
                f"the supervisor on {supervisor.host} (pid {supervisor.pid}) does not end",
                hint=f"ssh {supervisor.host} motoko kill {config.directory}",
            )
        time.sleep(POLL_S)
    announce(f"stopped supervisor (pid {supervisor.pid} on {supervisor.host}) and its daemons")


def await_stopped(config: WorkflowConfig, names: Sequence[str]) -> None:
    """Return when the supervisor has stopped these daemons; ``MotokoError`` if it does not."""
    left: list[str] = []
    for status in client.statuses(config, time.monotonic() + config.supervision.stopped_s):
        if status is None:
            return  # the supervisor has ended or was killed: the caller reports what is left
        daemons = [daemon for daemon in status.daemons if daemon.name in names]
        left = [daemon.name for daemon in daemons if daemon.state == "stopping"]
        if all(daemon.state == "stopped" for daemon in daemons):
            return
    raise NotStopped(f"not stopped in time: {', '.join(left)}", hint="see `motoko ps`")


def _say_what_has_stopped(daemons: Sequence[LivingDaemon], announce: Announce) -> None:
    """Announce the daemons that have ended; ``MotokoError`` if one has not."""
    left = [daemon for daemon in daemons if daemon.identity.alive]
    for daemon in daemons:
        if daemon not in left:
            announce(f"stopped {daemon.name} (pid {daemon.identity.pid})")
    if left:
        names = ", ".join(f"{daemon.name} (pid {daemon.identity.pid})" for daemon in left)
        raise NotStopped(f"cannot be killed: {names}", hint="is a file system hanging?")


@contextlib.contextmanager
def _following(runtime: Runtime, detail: Announce) -> Iterator[None]:
    """Pass on the supervisor's log lines of the block: they name the signals that it sends."""
    log = runtime.log(SUPERVISOR)
    start = log.stat().st_size if log.exists() else 0
    try:
        yield
    finally:
        if detail is not ignore and log.exists():
            with open(log, "rb") as file:
                file.seek(start)
                for line in file.read().decode(errors="replace").splitlines():
                    detail(f"supervisor's log: {line}")


def _stop_supervisor(
    config: WorkflowConfig,
    supervisor: Identity,
    runtime: Runtime,
    by: str,
    announce: Announce,
    detail: Announce,
) -> None:
    """Have the supervisor stop everything; kill it if it cannot."""
    detail(f"asking the supervisor (pid {supervisor.pid}) to stop")
    if client.ask(runtime, StopRequest(by), ANSWER_S) is not None:
        # The supervisor ends after all its daemons; if it is killed, they are left to us.
        if gone([supervisor], config.supervision.stopped_s):
            announce(f"stopped supervisor (pid {supervisor.pid})")
            return
    # The supervisor may be starting, and have no control socket yet.
    elif _signal(SUPERVISOR, supervisor, signal.SIGTERM, detail) and gone([supervisor], ANSWER_S):
        announce(f"stopped supervisor (pid {supervisor.pid})")
        return
    if _signal(SUPERVISOR, supervisor, signal.SIGKILL, detail):
        gone([supervisor], KILL_DEADLINE_S)
        announce(f"killed supervisor (pid {supervisor.pid}), which did not answer")


def _stop_orphans(
    config: WorkflowConfig, runtime: Runtime, by: str, announce: Announce, detail: Announce
) -> None:
    """Stop daemons without a supervisor, in the supervisor's order, and remove its files."""
    if not something_is_left(config):
        return
    # While we hold the supervisor's lock, no supervisor can start these daemons again.
    with supervisor_lock.supervisor_lock(runtime):
        if daemons := daemon_records.living_daemons(runtime):
            with _announcement(config, by):
                _stop_in_order(config, daemons, announce, detail)
        daemon_records.remove_leftovers(config, runtime)


def something_is_left(config: WorkflowConfig) -> bool:
    """Whether a daemon lives, or the supervisor of this host was killed and has left files."""
    runtime = daemon_records.records(config)
    supervisor = daemon_records.recorded_identity(runtime, runtime.record(SUPERVISOR))
    if supervisor is not None and supervisor.is_here:
        return True
    return bool(daemon_records.living_daemons(runtime))


def _stop_in_order(
    config: WorkflowConfig, daemons: Sequence[LivingDaemon], announce: Announce, detail: Announce
) -> None:
    for group in config.supervision.stop_order:
        turn = {daemon.name: daemon.identity for daemon in daemons if daemon.kind == group.kind}
        _end(turn, group.signal, group.deadline, announce, detail)


def _end(
    turn: Mapping[str, Identity],
    number: int,
    deadline: float,
    announce: Announce,
    detail: Announce,
) -> None:
    """End processes, given by name, with a signal; those that do not end in time with SIGKILL."""
    for name, identity in turn.items():
        _signal(name, identity, number, detail)
    if not gone([*turn.values()], deadline):
        for name, identity in turn.items():
            if _signal(name, identity, signal.SIGKILL, detail):
                announce(f"{name} does not end, killing it")
        gone([*turn.values()], KILL_DEADLINE_S)


def end_foreign(
    daemons: Sequence[ForeignDaemon], announce: Announce, detail: Announce = ignore
) -> None:
    """End BlackDynamite's own daemons: first those that would start others again.

    ``announce`` gets a line for each of the others. Raises ``MotokoError`` if a daemon cannot even
    be killed.
    """
    for keeps in (True, False):
        turn = {str(daemon): daemon.identity for daemon in daemons if daemon.keeps is keeps}
        _end(turn, signal.SIGTERM, ANSWER_S, ignore, detail)
    for daemon in daemons:
        if daemon.identity.alive:
            raise NotStopped(f"cannot be killed: {daemon}", hint="is a file system hanging?")
        if not daemon.keeps:
            announce(f"stopped {daemon}")


def _signal(name: str, identity: Identity, number: int, detail: Announce) -> bool:
    sent = identity.signal(number)
    if sent:
        detail(f"{signal.Signals(number).name} to {name} (pid {identity.pid})")
    return sent


@contextlib.contextmanager
def _announcement(config: WorkflowConfig, by: str) -> Iterator[None]:
    """Tell the orchestrators that the workflow is being stopped, as a supervisor does."""
    runtime = locate(config)
    if runtime is None:  # the sockets are gone, and with them the bus
        yield
        return
    from motoko.bus.messages import DaemonStatus
    from motoko.bus.publisher import Publisher

    with Publisher(runtime.bus_publish) as publisher:
        time.sleep(ANNOUNCE_S)
        publisher.send(DaemonStatus(daemon_records.SUPERVISOR, os.getpid(), "stopping", by))
        yield
