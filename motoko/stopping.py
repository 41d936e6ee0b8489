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
from motoko.control import SUPERVISOR, Announce, LivingDaemon
from motoko.detached import not_wanted
from motoko.errors import MotokoError
from motoko.identity import Identity
from motoko.runtime import Runtime, locate, read_json
from motoko.supervision import KILL_DEADLINE_S

ANSWER_S = 5.0
# A publisher is heard a moment after it has connected, and nothing tells when.
ANNOUNCE_S = 0.3


POLL_S = 0.05


def ignore(line: str) -> None:
    """The default of what is announced."""


def stop(config: WorkflowConfig, announce: Announce, detail: Announce = ignore) -> None:
    """See :func:`motoko.control.stop`. ``detail`` gets a line for each signal that is sent."""
    runtime = control.records(config)
    supervisor = control.supervisor_identity(config)
    daemons = control.living_daemons(runtime)
    if supervisor is not None:
        with _following(runtime, detail):
            _stop_supervisor(config, supervisor, runtime, announce, detail)
    not_wanted(runtime)  # whoever supervised them, or had
    # What is left now nobody looks after: its supervisor had been killed, or was just now.
    _stop_orphans(config, runtime, announce, detail)
    _say_what_has_stopped(daemons, announce)


def stop_study(
    config: WorkflowConfig, study: str, announce: Announce, detail: Announce = ignore
) -> bool:
    """Stop the launcher of a study, with its local runs, and its ZEO server; nothing else.

    They stay away until ``motoko supervise`` or ``motoko launcher`` is called.

    Returns:
        Whether there was anything to stop.

    Raises:
        MotokoError: the supervisor does not answer, or something cannot even be killed.
    """
    names = {f"launcher:{study}", f"zeo:{study}"}
    runtime = control.records(config)
    supervisor = control.supervisor_identity(config)
    daemons = [d for d in control.living_daemons(runtime) if d.name in names]
    if supervisor is None:
        if not daemons:
            control.refuse_elsewhere(config)
            return False
        with control.supervisor_lock(runtime):
            _stop_in_order(config, daemons, announce, detail)
        _say_what_has_stopped(daemons, announce)
        return True
    with _following(runtime, detail):
        status = control.ask(runtime, "status", ANSWER_S) or {}
        known = [
            each["name"]
            for each in status.get("daemons", [])
            if each["name"] in names and each["state"] != "stopped"
        ]
        if status and not known:
            return False
        detail(f"asking the supervisor (pid {supervisor.pid}) to stop {', '.join(sorted(known))}")
        answer = control.ask(runtime, "stop_daemons", ANSWER_S, names=known) if known else None
        if answer is None or "error" in answer:
            why = answer["error"] if answer else "it does not answer"
            raise MotokoError(
                f"the supervisor (pid {supervisor.pid}) cannot stop study {study}: {why}",
                hint=f"`motoko kill {config.directory}` stops the whole workflow",
            )
        await_stopped(config, known)
    _say_what_has_stopped(daemons, announce)
    return True


def await_stopped(config: WorkflowConfig, names: Sequence[str]) -> None:
    """Return when the supervisor has stopped these daemons; ``MotokoError`` if it does not."""
    runtime = control.records(config)
    deadline = time.monotonic() + config.supervision.stopped_s
    while True:
        status = control.ask(runtime, "status", ANSWER_S)
        if status is None:
            return  # the supervisor has gone, or was killed: what is left is said by the caller
        left = [
            each["name"]
            for each in status["daemons"]
            if each["name"] in names and each["state"] == "stopping"
        ]
        turn = [each for each in status["daemons"] if each["name"] in names]
        if not left and all(each["state"] == "stopped" for each in turn):
            return
        if time.monotonic() > deadline:
            raise MotokoError(f"not stopped in time: {', '.join(left)}", hint="see `motoko ps`")
        time.sleep(POLL_S)


def _say_what_has_stopped(daemons: Sequence[LivingDaemon], announce: Announce) -> None:
    """Announce the daemons that have ended; ``MotokoError`` if one has not."""
    left = [daemon for daemon in daemons if daemon.identity.alive]
    for daemon in daemons:
        if daemon not in left:
            announce(f"stopped {daemon.name} (pid {daemon.identity.pid})")
    if left:
        names = ", ".join(f"{daemon.name} (pid {daemon.identity.pid})" for daemon in left)
        raise MotokoError(f"cannot be killed: {names}", hint="is a file system hanging?")


@contextlib.contextmanager
def _following(runtime: Runtime, detail: Announce) -> Iterator[None]:
    """Pass on what the supervisor logs meanwhile: it names the signals that it sends."""
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
    announce: Announce,
    detail: Announce,
) -> None:
    """Have the supervisor stop everything; kill it if it cannot."""
    detail(f"asking the supervisor (pid {supervisor.pid}) to stop")
    answer = control.ask(runtime, "stop", ANSWER_S)
    if answer is not None:
        # It ends after all others have; if it is killed, they are left to us.
        if gone([supervisor], config.supervision.stopped_s):
            announce(f"stopped supervisor (pid {supervisor.pid})")
            return
    # It may be starting, and have no control socket yet.
    elif _signal(SUPERVISOR, supervisor, signal.SIGTERM, detail) and gone([supervisor], ANSWER_S):
        announce(f"stopped supervisor (pid {supervisor.pid})")
        return
    if _signal(SUPERVISOR, supervisor, signal.SIGKILL, detail):
        gone([supervisor], KILL_DEADLINE_S)
        announce(f"killed supervisor (pid {supervisor.pid}), which did not answer")


def _stop_orphans(
    config: WorkflowConfig, runtime: Runtime, announce: Announce, detail: Announce
) -> None:
    """Stop the daemons that have no supervisor, in the order in which it would, and tidy up."""
    if not something_is_left(config):
        return
    # With its lock nobody starts again what is being stopped.
    with control.supervisor_lock(runtime):
        if daemons := control.living_daemons(runtime):
            with _announcement(config):
                _stop_in_order(config, daemons, announce, detail)
        control.remove_leftovers(config, runtime)


def something_is_left(config: WorkflowConfig) -> bool:
    """Whether a daemon lives, or the supervisor of this host was killed and has left files."""
    runtime = control.records(config)
    record = read_json(runtime.record(SUPERVISOR))
    with contextlib.suppress(KeyError, ValueError):
        if record is not None and Identity.from_dict(record).is_here:
            return True
    return bool(control.living_daemons(runtime))


def _stop_in_order(
    config: WorkflowConfig, daemons: Sequence[LivingDaemon], announce: Announce, detail: Announce
) -> None:
    for group in config.supervision.stop_order:
        turn = [daemon for daemon in daemons if daemon.kind == group.kind]
        for daemon in turn:
            _signal(daemon.name, daemon.identity, group.signal, detail)
        if not gone([daemon.identity for daemon in turn], group.deadline):
            for daemon in turn:
                if _signal(daemon.name, daemon.identity, signal.SIGKILL, detail):
                    announce(f"{daemon.name} does not end, killing it")
            gone([daemon.identity for daemon in turn], KILL_DEADLINE_S)


def _signal(name: str, identity: Identity, number: int, detail: Announce) -> bool:
    sent = identity.signal(number)
    if sent:
        detail(f"{signal.Signals(number).name} to {name} (pid {identity.pid})")
    return sent


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


def gone(identities: Sequence[Identity], timeout: float) -> bool:
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
