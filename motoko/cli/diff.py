"""``motoko diff``: what differs between two runs."""

from __future__ import annotations

import dataclasses
import json

import click

from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import named_run
from motoko.config import load


@click.command(short_help="Say what differs between two runs.")
@click.argument("first", metavar="STUDY.ID")
@click.argument("second", metavar="STUDY.ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(first: str, second: str, as_json: bool) -> None:
    """Say what differs between two runs: parameters, results, files, how they were executed.

    Files are those that the runs were executed with, which the database keeps: launch.sh, doIt.py
    and the study's other files, before placeholders are replaced in them. The command works with
    and without a supervisor, and changes nothing. Its exit code is 0 whether there are differences
    or not.

    \b
    Examples:
      motoko diff solve.3 solve.7
    """
    from motoko.cli.render.run_comparison import show
    from motoko.reports.run_differences import differences, gathered
    from motoko.runs.references import Reference

    config = load()
    tell_standing(config)
    runs = [
        gathered(config, study, Reference(study.name, number))
        for study, number in (named_run(config, name) for name in (first, second))
    ]
    differing = list(differences(runs[0], runs[1]))
    if as_json:
        objects = [dataclasses.asdict(difference) for difference in differing]
        click.echo(json.dumps({"runs": [run.name for run in runs], "differences": objects}))
    else:
        show(runs[0].name, runs[1].name, differing)
