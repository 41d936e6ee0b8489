"""``motoko ps``: the workflow's processes and their health. Changes nothing."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from motoko import control
from motoko.config import WorkflowConfig, load
from motoko.identity import Identity
from motoko.log_reading import last_lines
from motoko.runtime import living_orchestrators

ANSWER_S = 2.0
DETAIL_WIDTH = 24
EXIT_NOT_READY = 1
EXIT_NO_SUPERVISOR = 3
ELSEWHERE = "on another host"
NOT_RUNNING = "not running"
COLUMNS = ("name", "state", "pid", "uptime", "restarts", "cpu", "rss", "detail")
_COLOURS = {
    "ready": "green",
    "ended": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "backoff": "yellow",
}


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """Show the workflow's processes and their health.

    Exits with 0 if everything is ready, 1 if something is not, 3 if there is no supervisor.
    """
    config = load(directory)
    state = collect(config)
    if as_json:
        click.echo(json.dumps(state, indent=2))
    else:
        _print(state)
    if state["supervisor"]["pid"] is None:
        context.exit(EXIT_NO_SUPERVISOR)
    if state["supervisor"]["state"] != "ready":
        context.exit(EXIT_NOT_READY)


def collect(config: WorkflowConfig) -> dict[str, Any]:
    """Everything that ``ps`` shows, as its JSON says it."""
    status = control.supervisor_status(config, ANSWER_S) or _from_records(config)
    for daemon in status["daemons"]:
        daemon["cpu_s"], daemon["rss_bytes"] = _figures(daemon["pid"])
        failed = daemon["state"] == "failed"
        daemon["log_tail"] = last_lines(Path(daemon["log"])) if failed else []
    status["orchestrators"] = _orchestrators(config, status.get("orchestrators", []))
    return status


def _orchestrators(config: WorkflowConfig, heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are registered, and other processes that await runs, as the bus has heard."""
    here = socket.gethostname()
    by_process = {
        (each["host"], each["pid"]): each
        for each in heard
        if each["host"] != here or Identity.of(each["pid"]) is not None
    }
    nothing: dict[str, Any] = {"waiting": [], "awaits": None, "since": None, "counts": {}}
    found = []
    for run_name, identity in living_orchestrators(control.records(config)):
        said = by_process.pop((identity.host, identity.pid), nothing)
        found.append({**said, "run_name": run_name, "pid": identity.pid, "host": identity.host})
    return [
        *({"registered": True, **each} for each in found),
        *({"registered": False, **each} for each in by_process.values()),
    ]


def _from_records(config: WorkflowConfig) -> dict[str, Any]:
    """What can be known without a supervisor that answers."""
    runtime = control.records(config)
    supervisor = control.supervisor_identity(config)
    elsewhere = control.supervisor_elsewhere(config)
    return {
        "workflow": str(config.path),
        "supervisor": {
            "pid": supervisor.pid if supervisor else None,
            "host": supervisor.host if supervisor else elsewhere.host if elsewhere else None,
            "state": "not answering" if supervisor else ELSEWHERE if elsewhere else NOT_RUNNING,
            "uptime_s": control.uptime_s(supervisor) if supervisor else None,
        },
        "daemons": [
            {
                "name": daemon.name,
                "kind": daemon.kind,
                "pid": daemon.identity.pid,
                "state": "unknown" if supervisor else "orphaned",
                "uptime_s": control.uptime_s(daemon.identity),
                "restarts": None,
                "last_exit": None,
                "log": str(runtime.log(daemon.name)),
                "detail": "",
                "counts": {},
            }
            for daemon in control.living_daemons(runtime)
        ],
    }


def _figures(pid: int | None) -> tuple[float | None, int | None]:
    """CPU seconds and resident bytes of a process itself; ``None`` if it has just gone."""
    import psutil

    if pid is None or Identity.of(pid) is None:
        return None, None
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return round(times.user + times.system, 2), process.memory_info().rss
    except psutil.Error:
        return None, None


def _print(state: dict[str, Any]) -> None:
    supervisor = state["supervisor"]
    first = {**supervisor, "name": control.SUPERVISOR, "restarts": None, "detail": ""}
    first["cpu_s"], first["rss_bytes"] = _figures(supervisor["pid"])
    by_pid = {each["pid"]: each for each in state["orchestrators"]}
    rows = [_row(first)]
    for daemon in state["daemons"]:
        orchestrator = by_pid.pop(daemon["pid"], None)
        if orchestrator is not None and orchestrator["waiting"]:
            daemon["detail"] = waits_for(orchestrator)
        rows.append(_row(daemon))
    for orchestrator in by_pid.values():
        kind = "orchestrator" if orchestrator["registered"] else "script"
        detail = _orchestrator(orchestrator)
        rows.append((kind, "running", str(orchestrator["pid"]), *[""] * 4, detail))
    if sys.stdout.isatty():
        _print_table(state["workflow"], rows)
    else:
        click.echo(state["workflow"])
        _print_plain([COLUMNS, *rows])
    for daemon in state["daemons"]:
        if daemon["state"] == "failed":
            click.echo(f"\n{daemon['name']} was given up; the end of {daemon['log']}:")
            click.echo("\n".join(f"    {line}" for line in daemon["log_tail"]))


def _orchestrator(orchestrator: dict[str, Any]) -> str:
    """Whose it is, and what it waits for."""
    text = f"{orchestrator['run_name']} on {orchestrator['host']}"
    return f"{text}, {waits_for(orchestrator)}" if orchestrator["waiting"] else text


def waits_for(orchestrator: dict[str, Any]) -> str:
    """What one waits for, and since when."""
    more = orchestrator["awaits"] - 1
    text = f"waits since {_duration(time.time() - orchestrator['since'])} for "
    return f"{text}{orchestrator['waiting'][0]}{f' and {more} more' if more else ''}"


def _row(daemon: dict[str, Any]) -> tuple[str, ...]:
    detail = daemon["detail"]
    if daemon.get("last_exit"):
        detail += f"{'; ' if detail else ''}last exit: {daemon['last_exit']}"
    return (
        daemon["name"],
        daemon["state"],
        _text(daemon["pid"]),
        _duration(daemon["uptime_s"]),
        _text(daemon["restarts"]),
        "-" if daemon["cpu_s"] is None else f"{daemon['cpu_s']:.1f} s",
        "-" if daemon["rss_bytes"] is None else f"{daemon['rss_bytes'] / 1e6:.0f} MB",
        detail,
    )


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def _print_plain(rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, however wide: for pipes and files."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _print_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for name in COLUMNS:
        right = name in ("pid", "uptime", "restarts", "cpu", "rss")
        # Only the detail may be folded on a narrow terminal: the other columns are short.
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "detail")
    for row in rows:
        state = Text(row[1], style=_COLOURS.get(row[1], "red"))
        table.add_row(Text(row[0]), state, *map(Text, row[2:]))
    console = Console()
    # On a terminal too narrow for the short columns the lines run over: nothing is cut.
    short = sum(max(map(len, column)) + 2 for column in list(zip(COLUMNS, *rows, strict=True))[:-1])
    console.width = max(console.width, short + DETAIL_WIDTH)
    console.print(table)
