"""The output of `motoko ps`: the workflow's processes, as a table and as JSON."""

from __future__ import annotations

import json
import socket
from typing import Any

import click
import msgspec

from motoko.cli.render.orchestrators import waits_for
from motoko.cli.render.tables import show_table
from motoko.control.daemon_records import SUPERVISOR
from motoko.host.durations import uptime
from motoko.host.sizes import megabytes
from motoko.reports.status import Daemon, Orchestrator, WorkflowStatus

COLUMNS = ("name", "state", "pid", "uptime", "restarts", "cpu", "rss", "detail")
NUMBERS = ("pid", "uptime", "restarts", "cpu", "rss")
_COLOURS = {
    "ready": "green",
    "running": "green",
    "ended": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "backoff": "yellow",
}


def show_json(status: WorkflowStatus) -> None:
    """Print one JSON object."""
    values: dict[str, Any] = msgspec.to_builtins(status)
    del values["supervisor_use"], values["started"]
    if not status.note:
        del values["note"]
    for orchestrator in values["orchestrators"]:
        del orchestrator["runs"]  # `waiting` names them in words
    click.echo(json.dumps(values, indent=2))


def show(status: WorkflowStatus) -> None:
    """Print the table, and below it the last log lines of daemons that were given up."""
    show_table(
        COLUMNS,
        rows(status),
        title=status.workflow + _place(status),
        right=NUMBERS,
        styles={"state": colour},
        dim=(),
    )
    if status.note:
        click.echo(status.note)
    for warning in status.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    for daemon in status.daemons:
        if daemon.state == "failed":
            click.echo(f"\n{daemon.name} was given up; the end of {daemon.log}:")
            click.echo("\n".join(f"    {line}" for line in daemon.log_tail))


def rows(status: WorkflowStatus) -> list[tuple[str, ...]]:
    """The cells of the table's rows."""
    by_pid = {orchestrator.pid: orchestrator for orchestrator in status.orchestrators}
    cells = [_supervisor(status)]
    cells += [_daemon(daemon, by_pid.pop(daemon.pid or 0, None)) for daemon in status.daemons]
    cells += [_orchestrator(orchestrator) for orchestrator in by_pid.values()]
    return cells


def colour(state: str) -> str:
    """The colour of a process's state."""
    return _COLOURS.get(state, "red")


def _place(status: WorkflowStatus) -> str:
    host = status.supervisor.host
    return "" if host in (None, socket.gethostname()) else f", on {host}"


def _supervisor(status: WorkflowStatus) -> tuple[str, ...]:
    supervisor, use = status.supervisor, status.supervisor_use
    times = (uptime(supervisor.uptime_s), "-", _cpu(use.cpu_s), _rss(use.rss_bytes))
    return (SUPERVISOR, supervisor.state, _text(supervisor.pid), *times, "")


def _daemon(daemon: Daemon, orchestrator: Orchestrator | None) -> tuple[str, ...]:
    detail = waits_for(orchestrator) if orchestrator is not None else ""
    detail = detail or daemon.detail
    if daemon.last_exit:
        detail += f"{'; ' if detail else ''}last exit: {daemon.last_exit}"
    times = (uptime(daemon.uptime_s), _text(daemon.restarts))
    use = (_cpu(daemon.cpu_s), _rss(daemon.rss_bytes))
    return (daemon.name, daemon.state, _text(daemon.pid), *times, *use, detail)


def _orchestrator(orchestrator: Orchestrator) -> tuple[str, ...]:
    kind = "orchestrator" if orchestrator.registered else "script"
    detail = f"{orchestrator.run_name} on {orchestrator.host}"
    if waiting := waits_for(orchestrator):
        detail += f", {waiting}"
    return (kind, "running", str(orchestrator.pid), *[""] * 4, detail)


def _cpu(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def _rss(size: int | None) -> str:
    return "-" if size is None else megabytes(size)


def _text(value: object) -> str:
    return "-" if value is None else str(value)
