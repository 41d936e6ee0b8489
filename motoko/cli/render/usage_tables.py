"""The output of `motoko usage`, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import psutil

from motoko.cli.render.tables import show_table
from motoko.config import WorkflowConfig
from motoko.host.durations import duration
from motoko.host.sizes import megabytes
from motoko.reports.used_resources import Advice, StudyUsage, Tally, option_shown, slots_of

COLUMNS = ("study", "", "asked", "mean", "most", "most in", "of runs")


def show(config: WorkflowConfig, usages: Iterable[StudyUsage]) -> None:
    """Print a table of three lines for each study, and the lines that would fit better."""
    usages = list(usages)
    rows = [row for usage in usages for row in rows_of(usage)]
    if not rows:
        click.echo("no study has a database: motoko create")
        return
    show_table(COLUMNS, rows, right=("mean", "most", "of runs"))
    advised = {usage.study: _advice(config, usage) for usage in usages}
    of_all = [line for lines in advised.values() for line in lines if line.key == "slots"]
    if not any(advised.values()):
        return
    click.echo("\nWhat fits better, in motoko.yaml:")
    for line in of_all[:1]:
        click.echo(f"  {line.key}: {line.value}  # {line.why}")
    click.echo("  task_managers:")
    for study, lines in advised.items():
        lines = [line for line in lines if line.key != "slots"]
        if lines:
            click.echo(f"    {study}:")
        for line in lines:
            click.echo(f"      {line.key}: {line.value}  # {line.why}")


def show_json(config: WorkflowConfig, usages: Iterable[StudyUsage]) -> None:
    """Print one JSON object."""
    studies = {
        usage.study: {
            "runs": usage.runs,
            "asked": {
                "generator": usage.generator,
                "nproc": usage.nproc or [usage.policy.nproc] * 2,
                "timeout_s": usage.policy.timeout,
                "options": dict(usage.policy.options_for(usage.generator)),
            },
            "used": {
                "wall_s": _tally(usage.wall_s),
                "cpu_s": _tally(usage.cpu_s),
                "cores": _tally(usage.cores),
                "max_rss_bytes": _tally(usage.memory),
            },
            "advice": [
                {"key": line.key, "value": line.value, "why": line.why}
                for line in _advice(config, usage)
            ],
        }
        for usage in usages
    }
    click.echo(json.dumps({"slots": slots_of(config), "studies": studies}, indent=2))


def _advice(config: WorkflowConfig, usage: StudyUsage) -> list[Advice]:
    return list(usage.advice(slots_of(config), psutil.virtual_memory().total))


def rows_of(usage: StudyUsage) -> Iterable[Sequence[str]]:
    """The rows of a study, as :data:`COLUMNS` has them."""
    least, most = usage.nproc or (usage.policy.nproc, usage.policy.nproc)
    nproc = f"nproc {least}" if least == most else f"nproc {least} to {most}"
    timeout = usage.policy.timeout
    limit = option_shown(usage, ("time",)) or ("" if timeout is None else duration(timeout))
    memory = option_shown(usage, ("mem", "mem-per-cpu"))
    lines: list[tuple[str, str, Tally, Callable[[float], str]]] = [
        ("wall time", limit, usage.wall_s, duration),
        ("processors", nproc, usage.cores, "{:.2f}".format),
        ("memory", memory, usage.memory, lambda count: megabytes(round(count))),
    ]
    for number, (what, asked, tally, shown) in enumerate(lines):
        mean = tally.mean
        yield (
            usage.study if number == 0 else "",
            what,
            asked or "-",
            "-" if mean is None else shown(mean),
            "-" if mean is None else shown(tally.most),
            "-" if tally.run is None else f"{usage.study}.{tally.run}",
            f"{tally.count} of {usage.runs}",
        )


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "runs": tally.count,
        "mean": tally.mean,
        "max": tally.most if tally.count else None,
        "max_run": tally.run,
    }
