"""The workflow's processes and their health, as typed values."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, WATCHER, kind_of
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.outdated_daemons import outdated
from motoko.control.protocol import DaemonInfo, OrchestratorInfo, Status, SupervisorInfo
from motoko.errors import MotokoError
from motoko.host import clock
from motoko.host.closed_places import remedy
from motoko.host.identity import Identity
from motoko.host.log_reading import last_lines
from motoko.layout import are_closed, other_account

ANSWER_S = 2.0
ELSEWHERE = "on another host"
NOT_RUNNING = "not running"
NOT_ANSWERING = "not answering"
OF_OTHERS = "of another account"  # it answers only that account


class ResourceUse(msgspec.Struct, frozen=True):
    """What a living process itself has used: CPU time in seconds, and resident bytes."""

    cpu_s: float | None = None
    rss_bytes: int | None = None


class Daemon(DaemonInfo, frozen=True):
    """A daemon, and what it has used. ``log_tail``: its log's last lines, if it was given up."""

    cpu_s: float | None = None
    rss_bytes: int | None = None
    log_tail: tuple[str, ...] = ()


class Orchestrator(msgspec.Struct, frozen=True):
    """A process that awaits runs, or that is registered as an orchestrator.

    Attributes:
        registered: whether it is registered as an orchestrator; scripts are not.
        waiting: what it waits for, in words; the oldest first.
        runs: the runs that it waits for, as STUDY.ID.
        awaits: how many things it waits for; ``None`` if it has not said so yet.
        since: when the oldest wait began (seconds since 1970).
    """

    registered: bool
    run_name: str
    pid: int
    host: str
    waiting: list[str] = []
    awaits: int | None = None
    since: float | None = None
    counts: dict[str, int] = {}
    runs: list[str] = []


class WorkflowStatus(msgspec.Struct, frozen=True):
    """The supervisor, its daemons, and the processes that await runs.

    Attributes:
        note: what cannot be seen from this host, and why.
        warnings: dangers to the workflow, one line each.
        started: when the supervisor and each living daemon was started (seconds since 1970).
    """

    workflow: str
    supervisor: SupervisorInfo
    daemons: list[Daemon]
    orchestrators: list[Orchestrator]
    supervisor_use: ResourceUse = ResourceUse()
    note: str = ""
    warnings: list[str] = []
    started: dict[str, float] = {}

    @property
    def answers(self) -> bool:
        """Whether a supervisor has told this, and not the records of the processes."""
        return self.supervisor.state in ("starting", "ready", "degraded", "stopping")

    def has(self, kind: str) -> bool:
        """Whether a daemon of a kind lives."""
        return any(kind_of(daemon.name) == kind and daemon.pid for daemon in self.daemons)


def collect(config: WorkflowConfig) -> WorkflowStatus:
    """The workflow's processes, as the supervisor or, if it is silent, their records tell."""
    status = described(config, client.supervisor_status(config, ANSWER_S))
    warnings = tcp_warnings(config)
    if daemon_records.other_owner(config) is None:  # another one may have another version
        warnings += _outdated(status)
    return msgspec.structs.replace(status, warnings=warnings)


def living_processes(config: WorkflowConfig) -> WorkflowStatus:
    """The same without ``warnings`` and without what the processes have used: that takes longer."""
    return described(config, client.supervisor_status(config, ANSWER_S), _unseen)


def unrecorded(status: WorkflowStatus) -> Iterator[str]:
    """What the files may lack, by the processes that write them; texts for people."""
    if status.note:
        yield status.note
    elif status.supervisor.state == NOT_RUNNING:
        if status.daemons:
            yield "the supervisor has died: its daemons go on"
        else:
            yield "no supervisor: the last state that was recorded"
    elif not status.answers:
        yield f"the supervisor is {status.supervisor.state}: what its daemons do is not known"
    if status.answers and not status.has(LAUNCHER):
        yield "no launcher: created runs are not started"
    if status.answers and not status.has(WATCHER):
        yield "no watcher: the databases were read instead of what it writes"


def resource_use(pid: int | None) -> ResourceUse:
    """What a process itself has used; empty if it has just ended."""
    import psutil

    if pid is None or Identity.of(pid) is None:
        return ResourceUse()
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return ResourceUse(round(times.user + times.system, 2), process.memory_info().rss)
    except psutil.Error:
        return ResourceUse()


def described(
    config: WorkflowConfig,
    answer: Status | None,
    use_of: Callable[[int | None], ResourceUse] = resource_use,
) -> WorkflowStatus:
    """The workflow's processes by a supervisor's answer, without ``warnings``.

    Args:
        config: the workflow.
        answer: what the supervisor has answered; ``None``: it is silent.
        use_of: what a process of this host has used.
    """
    status = answer or _from_records(config)
    is_here = daemon_records.supervisor_elsewhere(config) is None
    use = use_of if is_here else _unseen
    return WorkflowStatus(
        workflow=status.workflow,
        supervisor=status.supervisor,
        daemons=[_daemon(info, use(info.pid)) for info in status.daemons],
        orchestrators=_orchestrators(config, status.orchestrators),
        supervisor_use=use(status.supervisor.pid),
        note="" if answer else _why_unseen(config),
        started=status.started,
    )


def tcp_warnings(config: WorkflowConfig) -> list[str]:
    """Warnings about studies that are served by plain TCP, one line each."""
    return [
        f"{study.name}: whoever reaches {study.host} can run code in your processes: drop "
        "`host:` and `insecure_tcp:`, nodes need neither"
        for study in config.studies.values()
        if study.tcp_address is not None and study.is_local
    ]


def _outdated(status: WorkflowStatus) -> list[str]:
    """A warning if any process is older than the installed version of Motoko."""
    if not (names := outdated(status.started)):
        return []
    return [f"older than the installed Motoko: {', '.join(names)} (`motoko upgrade`)"]


def _unseen(pid: int | None) -> ResourceUse:
    """The use of a process that is not looked at, or cannot be seen on its host."""
    return ResourceUse()


def _why_unseen(config: WorkflowConfig) -> str:
    """Why the workflow cannot be seen on its supervisor's host; empty if it can."""
    if are_closed(config.directory):
        record = daemon_records.records(config).record(daemon_records.SUPERVISOR)
        return f"which processes it has is not known: {remedy(record)}"
    if daemon_records.supervisor_elsewhere(config) is None or daemon_records.other_owner(config):
        return ""  # whose files are shown is said anyway
    try:
        supervisor_lock.refuse_elsewhere(config)
    except MotokoError as error:
        return f"{error}" + (f"; {error.hint}" if error.hint else "")
    return ""


def _daemon(info: DaemonInfo, use: ResourceUse) -> Daemon:
    lines = last_lines(Path(info.log)) if info.state == "failed" else []
    return Daemon(
        **msgspec.structs.asdict(info),
        cpu_s=use.cpu_s,
        rss_bytes=use.rss_bytes,
        log_tail=tuple(lines),
    )


def _orchestrators(config: WorkflowConfig, infos: list[OrchestratorInfo]) -> list[Orchestrator]:
    """The registered orchestrators, and other processes that have told the bus of awaits."""
    here = socket.gethostname()
    by_process = {
        (info.host, info.pid): info
        for info in infos
        if info.host != here or Identity.of(info.pid) is not None
    }
    registered = []
    for run_name, who in daemon_records.living_orchestrators(daemon_records.records(config)):
        info = by_process.pop((who.host, who.pid), None)
        if info is None:
            registered.append(Orchestrator(True, run_name, who.pid, who.host))
        else:
            values = {**msgspec.structs.asdict(info), "run_name": run_name}
            registered.append(Orchestrator(registered=True, **values))
    others = [
        Orchestrator(registered=False, **msgspec.structs.asdict(info))
        for info in by_process.values()
    ]
    return registered + others


def _from_records(config: WorkflowConfig) -> Status:
    """The status by the records alone, for a supervisor that does not answer."""
    runtime = daemon_records.records(config)
    supervisor = daemon_records.supervisor_identity(config)
    who = supervisor or daemon_records.supervisor_elsewhere(config)
    state = ELSEWHERE if who else NOT_RUNNING
    if supervisor or are_closed(config.directory):
        state = OF_OTHERS if other_account(config.directory) else NOT_ANSWERING
    return Status(
        workflow=str(config.path),
        supervisor=SupervisorInfo(
            pid=supervisor.pid if supervisor else None,
            host=who.host if who else None,
            state=state,
            uptime_s=clock.uptime_s(supervisor) if supervisor else None,
        ),
        daemons=[
            DaemonInfo(
                name=daemon.name,
                kind=daemon.kind,
                pid=daemon.identity.pid,
                state="unknown" if supervisor else "orphaned",
                uptime_s=clock.uptime_s(daemon.identity),
                restarts=None,
                last_exit=None,
                log=str(runtime.log(daemon.name)),
            )
            for daemon in daemon_records.living_daemons(runtime)
        ],
    )
