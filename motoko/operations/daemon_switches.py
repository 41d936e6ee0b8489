"""Starting, stopping and restarting single daemons, by name, through the workflow's supervisor."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from motoko.config import WorkflowConfig
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.protocol import (
    AnswerT,
    Request,
    RequestRefused,
    RestartDaemonsRequest,
    StartDaemonsRequest,
    StopDaemonsRequest,
)
from motoko.errors import ConfigError, NoSupervisor, SupervisorSilent
from motoko.operations import reconfiguring, starting

ANSWER_S = 5.0


def daemon_names(config: WorkflowConfig) -> list[str]:
    """The daemons that a workflow can have; the supervisor's own name is not among them."""
    return config.daemons


def start(config: WorkflowConfig, names: Sequence[str], announce: starting.Announce) -> None:
    """Start daemons, and the daemons that they need; returns when they are ready.

    A daemon that is already running is left alone. Raises ``ConfigError`` for an unknown name,
    ``NoSupervisor`` if the workflow is not supervised, and ``MotokoError``, with the end of its
    log, if a daemon fails.
    """
    _refuse_in_a_run()
    before = _pids(config, names)
    _take_over(config, announce)
    _ask(config, StartDaemonsRequest(list(before)))
    after = _wait(config, names, {})
    for name in dict.fromkeys(names):
        if before[name] == after[name]:
            announce(f"{name} was running already (pid {after[name]})")
        else:
            announce(f"started {name} (pid {after[name]})")


def restart(config: WorkflowConfig, names: Sequence[str], announce: starting.Announce) -> None:
    """Replace daemons by new ones; returns when these are ready. Runs go on.

    Daemons that are not running are started. Raises the same as :func:`start`.
    """
    _refuse_in_a_run()
    before = _pids(config, names)
    _take_over(config, announce)
    answer = _ask(config, RestartDaemonsRequest(list(before)))
    after = _wait(config, names, answer.restarting)
    for name in dict.fromkeys(names):
        announce(f"{'re' if before[name] else ''}started {name} (pid {after[name]})")


def stop(config: WorkflowConfig, names: Sequence[str], announce: starting.Announce) -> None:
    """Stop daemons until they are started again; returns when they have ended. Runs go on.

    A daemon that is not running is not an error. Raises the same as :func:`start`.
    """
    from motoko.operations.stopping import await_stopped

    before = _pids(config, names)
    answer = _ask(config, StopDaemonsRequest(list(before), end_runs=False))
    await_stopped(config, answer.stopping)
    for name in dict.fromkeys(names):
        pid = before[name]
        announce(f"stopped {name} (pid {pid})" if pid else f"{name} was not running")


def _refuse_in_a_run() -> None:
    if "BLACKDYNAMITE_RUN_ID" in os.environ:
        raise NoSupervisor(
            "a run starts no daemons", hint="call it outside of runs, in a terminal for instance"
        )


def _take_over(config: WorkflowConfig, announce: starting.Announce) -> None:
    """Have daemons use the files as they are now, or announce why they cannot."""
    if refusal := reconfiguring.take_over(config).refusal:
        announce(refusal)


def _pids(config: WorkflowConfig, names: Sequence[str]) -> dict[str, int | None]:
    """The current pids of daemons; raises for unknown names, or if there is no supervisor."""
    daemon_records.refuse_guests(config)
    status = client.supervisor_status(config, ANSWER_S)
    present = {daemon.name: daemon.pid for daemon in status.daemons} if status else {}
    known = list(dict.fromkeys([*daemon_names(config), *present]))
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no daemon {name!r} in {config.path}",
                hint=f"the daemons are: {', '.join(known)}",
            )
    if status is None:
        supervisor_lock.refuse_elsewhere(config)
        identity = daemon_records.supervisor_identity(config)
        if identity is None:
            raise NoSupervisor(
                f"{config.directory} has no supervisor",
                hint=f"start all: motoko supervise --detach {config.directory}",
            )
        raise SupervisorSilent(
            f"the supervisor of {config.directory} (pid {identity.pid}) does not answer",
            hint="`motoko kill` ends it; `kill -9` leaves its daemons to the next supervisor",
        )
    return {name: present.get(name) for name in names}


def _ask(config: WorkflowConfig, request: Request[AnswerT]) -> AnswerT:
    try:
        answer = client.ask(daemon_records.records(config), request, ANSWER_S)
        if answer is None:
            raise RequestRefused("it does not answer")
    except RequestRefused as refused:
        raise RequestRefused(
            f"the supervisor refuses: {refused}",
            hint="it knows the studies that were in motoko.yaml when it was started",
        ) from refused
    return answer


def _wait(
    config: WorkflowConfig, names: Sequence[str], before: dict[str, int | None]
) -> dict[str, int | None]:
    """The pids of daemons, once they are ready and are not the processes of ``before``."""
    deadline = time.monotonic() + config.supervision.stopped_s + config.supervision.started_s
    waited = {name: before.get(name) for name in names}
    status = starting.wait_for_daemons(config, deadline, waited)
    return {daemon.name: daemon.pid for daemon in status.daemons}
