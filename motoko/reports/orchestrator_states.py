"""The orchestrators that run, and how those in the background have ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import ORCHESTRATOR
from motoko.control import daemon_records, detached_requests
from motoko.reports import status
from motoko.reports.status import Daemon

RUNNING = "running"


@dataclass(frozen=True)
class Background:
    """An orchestrator that was started in the background.

    Attributes:
        restart: when it is started again: one of ``motoko.config.supervision.RESTARTS``.
        restarts, last_exit: how often it was started again, and why; ``None`` if the supervisor
            does not know.
        exit_code, ended, error, traceback: how and when (seconds since 1970) it has ended.
        log: the path of its log.
    """

    restart: str
    restarts: int | None
    last_exit: str | None
    exit_code: int | None
    ended: float | None
    error: str | None
    traceback: str | None
    log: str


@dataclass(frozen=True)
class OrchestratorState:
    """An orchestrator that runs, or was started in the background.

    Attributes:
        state: ``running``, or the state that the supervisor gives it, or ``ended`` or ``stopped``.
        waiting: what it waits for, in words; ``awaits``: how many things; ``since``: when the
            oldest wait began (seconds since 1970).
        counts: how its awaits were woken; ``None`` if it does not run.
        detached: whether the running process is the one that was started in the background.
        background: what is known of the one in the background.
    """

    run_name: str
    pid: int | None
    host: str | None
    state: str
    waiting: list[str] = field(default_factory=list)
    awaits: int | None = None
    since: float | None = None
    counts: dict[str, int] | None = None
    detached: bool = False
    background: Background | None = None


def collect(config: WorkflowConfig) -> list[OrchestratorState]:
    """All orchestrators that run or were started in the background, sorted by run_name."""
    processes = status.collect(config)
    runtime = daemon_records.records(config)
    members = {daemon.name: daemon for daemon in processes.daemons if daemon.kind == ORCHESTRATOR}
    running = {
        orchestrator.run_name: orchestrator
        for orchestrator in processes.orchestrators
        if orchestrator.registered
    }
    requests = {request.run_name: request for request in detached_requests.requests(runtime)}
    states = []
    for run_name in sorted({*running, *requests}):
        name = detached_requests.daemon_name(run_name)
        member, request = members.get(name), requests.get(run_name)
        background = None
        if request is not None:
            end = detached_requests.end_of(runtime, run_name)
            background = Background(
                restart=request.restart,
                restarts=member.restarts if member else None,
                last_exit=member.last_exit if member else None,
                exit_code=end.exit_code if end else None,
                ended=end.at if end else None,
                error=end.error if end else None,
                traceback=end.traceback if end else None,
                log=str(runtime.log(name)),
            )
        member_pid = member.pid if member else None
        if (at_work := running.get(run_name)) is not None:
            states.append(
                OrchestratorState(
                    run_name=run_name,
                    pid=at_work.pid,
                    host=at_work.host,
                    state=RUNNING,
                    waiting=at_work.waiting,
                    awaits=at_work.awaits,
                    since=at_work.since,
                    counts=at_work.counts,
                    detached=request is not None and at_work.pid == member_pid,
                    background=background,
                )
            )
        elif request is not None:
            state = _state(request, member)
            states.append(
                OrchestratorState(
                    run_name, member_pid, None, state, detached=True, background=background
                )
            )
    return states


def _state(request: detached_requests.Request, member: Daemon | None) -> str:
    """The state of an orchestrator that is not running."""
    if member is not None:
        return member.state
    return "ended" if request.wanted else "stopped"
