"""Having a running workflow go over to the installed version of Motoko, daemon by daemon.

The supervisor is first: it is killed, which loses nothing, and its successor adopts the daemons.
These are replaced one after the other, in the order in which they need each other. Launchers leave
their runs to their successors. The server of a study, which its runs talk to, is replaced when none
of its runs is being executed on this host, or can be; its launcher is paused for that.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from motoko.config import StudyConfig, WorkflowConfig, daemon_kinds
from motoko.config.daemon_kinds import GATE, LAUNCHER, ORCHESTRATOR, RELAY, ZEO
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.daemon_records import SUPERVISOR
from motoko.control.outdated_daemons import outdated
from motoko.control.protocol import DaemonInfo, Status
from motoko.errors import MotokoError, NoSupervisor, NotStopped, SupervisorSilent
from motoko.host.identity import gone
from motoko.host.living_processes import processes_with
from motoko.operations import daemon_switches, starting
from motoko.operations.draining import LauncherPause
from motoko.runs.direct_clients import talking

Announce = Callable[[str], None]
KILLED_S = 5.0
_DETACHED = "motoko.supervisor"  # the module that a supervisor in the background executes


@dataclass
class Upgraded:
    """What was done. ``left``: processes that still execute an earlier version, and why."""

    replaced: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def upgrade(
    config: WorkflowConfig, announce: Announce, *, wait: float, everything: bool = False
) -> Upgraded:
    """Replace the processes of a workflow that are older than the installed version.

    Args:
        config: the workflow.
        announce: gets a line for each process that is replaced.
        wait: for how many seconds to wait for the runs of a study, before its server is replaced.
        everything: replace all, older or not.

    Raises ``NoSupervisor`` if nothing is running, ``SupervisorSilent``, and what
    :func:`motoko.operations.daemon_switches.restart` raises.
    """
    if "BLACKDYNAMITE_RUN_ID" in os.environ:
        raise NoSupervisor("a run replaces no daemons", hint="call it outside of runs")
    daemon_records.refuse_guests(config)
    supervisor_lock.refuse_elsewhere(config)
    status = client.supervisor_status(config)
    if status is None:
        raise _silent(config)
    old = set(_older(status, everything=everything))
    result = Upgraded()
    if SUPERVISOR in old:
        _replace_supervisor(config, status, result, announce)
    order = [kind.name for kind in daemon_kinds.KINDS]
    daemons = [daemon for daemon in status.daemons if daemon.name in old and daemon.pid]
    for daemon in sorted(daemons, key=lambda daemon: order.index(daemon.kind)):
        _replace(config, daemon, result, announce, wait)
    return result


def _silent(config: WorkflowConfig) -> MotokoError:
    if daemon_records.supervisor_identity(config) is None:
        return NoSupervisor(
            f"{config.directory} has no supervisor: there is nothing to upgrade",
            hint="`motoko supervise` starts the installed version, and takes over what is running",
        )
    return SupervisorSilent(
        f"the supervisor of {config.directory} does not answer", hint="`motoko kill` ends it"
    )


def _older(status: Status, *, everything: bool) -> list[str]:
    if everything:
        return [SUPERVISOR, *(daemon.name for daemon in status.daemons)]
    return outdated(status.started)


def _replace_supervisor(
    config: WorkflowConfig, status: Status, result: Upgraded, announce: Announce
) -> None:
    supervisor = daemon_records.supervisor_identity(config)
    if supervisor is None:
        return
    commands = {who: arguments for who, arguments in processes_with("-P", "-m")}
    if commands.get(supervisor, [])[2:3] != [_DETACHED]:
        why = "it runs in a terminal: end it there when it suits you, and start it again"
        result.left[SUPERVISOR] = why
        return
    launchers = [daemon.pid for daemon in status.daemons if daemon.kind == LAUNCHER and daemon.pid]
    options = [arguments for who, arguments in commands.items() if who.pid in launchers]
    slots, generator = (_given(options, name) for name in ("--slots", "--generator"))
    supervisor.signal(signal.SIGKILL)
    if not gone([supervisor], KILLED_S):
        raise NotStopped(f"the supervisor (pid {supervisor.pid}) cannot be killed")
    starting.start_detached(
        config.path,
        launchers=bool(launchers),
        slots=None if slots is None else int(slots),
        generator=generator,
    )
    announce(f"replaced {SUPERVISOR} (it was pid {supervisor.pid})")
    result.replaced.append(SUPERVISOR)


def _given(commands: Iterable[Sequence[str]], name: str) -> str | None:
    """The value of an option on the command line of any launcher."""
    for command in commands:
        if (value := dict(itertools.pairwise(command)).get(name)) is not None:
            return value
    return None


def _replace(
    config: WorkflowConfig, daemon: DaemonInfo, result: Upgraded, announce: Announce, wait: float
) -> None:
    if daemon.kind == ORCHESTRATOR:
        why = "it goes on as it was started, and can be started again when it suits you"
        result.left[daemon.name] = why
        return
    study = config.studies.get(daemon.subject)
    talks = daemon.kind == RELAY or (daemon.kind == ZEO and study is not None and not study.is_kept)
    if not talks or study is None:
        _restart(config, daemon, result, announce)
        return
    pause = LauncherPause(config, study.name)
    try:
        if (at_work := _at_work(config, study, pause, time.monotonic() + wait)) is None:
            _restart(config, daemon, result, announce)
        else:
            result.left[daemon.name] = at_work
    finally:
        pause.release()


def _at_work(
    config: WorkflowConfig, study: StudyConfig, pause: LauncherPause, deadline: float
) -> str | None:
    """What still talks, or may begin to talk, to a study's server at a deadline; ``None``: nobody.

    Jobs on other hosts come through the gate, and keep their connections. A job on this host talks
    to the server itself, as local runs do, and the scheduler starts it when it likes: so without a
    gate all jobs must have ended.
    """
    reason = f"the launcher of {study.name} does not answer"
    for status in client.statuses(config, deadline):
        if status is None:
            continue
        launchers = [one.counts for one in status.of_kind(LAUNCHER, study.name)]
        gate = status.daemon(GATE)
        if not pause.hold(status):
            continue
        if any(counts.get("running") for counts in launchers) or talking(study.directory):
            reason = f"runs of {study.name} are being executed"
        elif gate is None and any(counts.get("jobs") for counts in launchers):
            reason = f"jobs of {study.name}, which this host executes, have not ended"
        else:
            return None
    return reason


def _restart(
    config: WorkflowConfig, daemon: DaemonInfo, result: Upgraded, announce: Announce
) -> None:
    daemon_switches.restart(config, [daemon.name], announce)
    result.replaced.append(daemon.name)
