"""``motoko lineage``: what a run came from, and what came of it."""

from __future__ import annotations

import dataclasses
import json

import click

from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import created, named_run
from motoko.config import load
from motoko.host.durations import counted


@click.command(short_help="Say what a run came from, and what came of it.")
@click.argument("run", metavar="STUDY.ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, as_json: bool) -> None:
    """Say which runs have led to a run, and to which runs it has led.

    A run comes from those that the code that created it had awaited before, or was called for, and
    from those that `createTask(after=...)` names. Further runs are what those came from in turn.
    The command works with and without a supervisor, and changes nothing.

    \b
    Examples:
      motoko lineage fit.3
    """
    from motoko.reports.run_graph import rows_of
    from motoko.reports.run_lineage import in_ranges, lineage
    from motoko.runs.references import Reference

    config = load()
    tell_standing(config)
    study, number = named_run(config, run)
    study.check_created()
    rows = rows_of(config, created(config.studies.values()))
    line = lineage(Reference(study.name, number), rows)
    if as_json:
        content = dataclasses.asdict(line) | {"run": f"{study.name}.{number}"}
        click.echo(json.dumps(content))
        return
    parts = {
        "came from": line.before,
        "and further from": line.further_before,
        "led to": line.after,
        "and further to": line.further_after,
    }
    if not any(parts.values()):
        click.echo(f"{study.name}.{number}: no run is known that led to it, or to which it led")
    for title, runs in parts.items():
        if runs:
            click.echo(f"{title}:")
        for name, ids in runs.items():
            click.echo(f"  {name}: {in_ranges(ids)} ({counted(len(ids), 'run')})")
