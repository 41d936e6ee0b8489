"""Starting orchestrators in the background, and stopping any orchestrator."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from motoko.channel.relay.peer_marks import VARIABLE
from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import ORCHESTRATOR
from motoko.control import client, daemon_records, detached_requests
from motoko.control.daemon_records import living_orchestrators
from motoko.control.detached_requests import Request, daemon_name
from motoko.control.protocol import DaemonInfo, RequestRefused, StartOrchestratorRequest
from motoko.control.registration import held
from motoko.errors import NoSupervisor, OrchestratorFailed
from motoko.host.identity import gone
from motoko.host.log_reading import tail
from motoko.operations import daemon_switches, starting

ANSWER_S = 10.0
STARTED_S = 20.0
STOPPED_S = 5.0
# A supervised orchestrator in one of these states has a process, or is about to get one.
_ON = ("starting", "ready", "backoff", "stopping")


def start(
    config: WorkflowConfig, run_name: str, arguments: Sequence[str], restart: str | None
) -> str:
    """Have the supervisor run an orchestrator; returns a line to show once it has begun.

    Args:
        config: the workflow, which is supervised.
        run_name: the orchestrator's run_name.
        arguments: the arguments of `motoko orchestrator start`.
        restart: one of ``motoko.config.supervision.RESTARTS``; ``None`` for the workflow's.

    Raises:
        OrchestratorRunning: an orchestrator with this run_name is running.
        NoSupervisor: the workflow is not supervised, or this is called inside a run.
        MotokoError: the orchestrator has ended at once; with its own exit code and message.
    """
    if "BLACKDYNAMITE_RUN_ID" in os.environ:
        raise NoSupervisor("a run starts no orchestrator", hint="start it outside of runs")
    starting.wait_for_answer(config, time.monotonic() + ANSWER_S)
    runtime, name = daemon_records.records(config), daemon_name(run_name)
    request = Request(
        run_name=run_name,
        arguments=tuple(arguments),
        directory=str(Path.cwd()),
        # The relay belongs to this process or its job: the supervisor's host must not use it.
        environment={k: v for k, v in os.environ.items() if k != VARIABLE},
        restart=restart or config.supervision.restart,
    )
    file = detached_requests.propose(runtime, request)
    try:
        answer = client.ask(runtime, StartOrchestratorRequest(str(file)), ANSWER_S)
        if answer is None:
            raise RequestRefused("it does not answer")
    except RequestRefused as refused:
        raise RequestRefused(
            f"the supervisor starts no orchestrator: {refused}", hint="see `motoko ps`"
        ) from refused
    finally:
        file.unlink(missing_ok=True)
    if answer.held_by is not None:
        raise held(run_name, msgspec.to_builtins(answer.held_by))
    member = _begun(config, name)
    log = runtime.log(name)
    if member is None or member.state in ("starting", "ready"):
        pid = f" (pid {member.pid})" if member and member.pid else ""
        return f"orchestrator {run_name} started{pid}, log: {log}"
    end = detached_requests.end_of(runtime, run_name)
    if end is None and member.state == "backoff":
        return f"orchestrator {run_name} {member.last_exit}, and is started again; log: {log}"
    if end is not None and end.exit_code == 0:
        return f"orchestrator {run_name} has ended with exit code 0, log: {log}"
    what = (end.traceback or end.error).rstrip() if end else tail(log)
    how = f"has ended with exit code {end.exit_code}" if end else str(member.last_exit)
    error = OrchestratorFailed(f"orchestrator {run_name} {how}:\n{what}", hint=f"its log is {log}")
    error.exit_code = (end.exit_code if end else 0) or 1
    raise error


def _begun(config: WorkflowConfig, name: str) -> DaemonInfo | None:
    """The supervisor's information about the orchestrator, once it is running or has ended."""
    member: DaemonInfo | None = None
    for status in client.statuses(config, time.monotonic() + STARTED_S):
        member = (status.daemon(name) if status else None) or member
        if member is not None and member.state != "starting":
            break
    return member


def stop(config: WorkflowConfig, only: str | None) -> list[str]:
    """Stop the orchestrators of this host, or one of them; returns a line for each. Runs go on."""
    daemon_records.refuse_guests(config)
    runtime = daemon_records.records(config)
    living = dict(living_orchestrators(runtime))
    status = client.supervisor_status(config)
    supervised = {
        daemon.subject: daemon.pid
        for daemon in (status.of_kind(ORCHESTRATOR) if status else [])
        if daemon.state in _ON
    }
    chosen = [name for name in sorted({*living, *supervised}) if only in (None, name)]
    detached_requests.not_wanted(runtime, lambda name: only in (None, name))
    parts = []
    for name in chosen:
        who = living.get(name)
        if name in supervised:
            daemon_switches.stop(config, [daemon_name(name)], lambda line: None)
            parts.append(f"stopped {name} (pid {supervised[name] or '-'})")
        elif who is not None and not who.is_here:
            parts.append(f"{name} runs on {who.host}: stop it there (pid {who.pid})")
        elif who is not None and who.signal(signal.SIGTERM):
            if not gone([who], STOPPED_S) and who.signal(signal.SIGKILL):
                gone([who], STOPPED_S)
            parts.append(f"stopped {name} (pid {who.pid})")
    return parts
