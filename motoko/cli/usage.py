"""``motoko usage``: what runs have asked for, beside what they have used."""

from __future__ import annotations

import click

from motoko.cli.render.standing_line import tell_all_standing
from motoko.cli.selecting import ALL, with_databases
from motoko.cli.texts import TEXT
from motoko.config import load


@click.command(short_help="Show what runs have asked for, and what they have used.")
@click.argument("bd_study", type=TEXT, metavar="[STUDY]", default=ALL)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(bd_study: str, as_json: bool) -> None:
    """Show what the runs of a study, or of all studies, have asked for and used.

    The table has the wall time, the processors that were kept busy, and the memory of the largest
    process, on average and at most, and the run that used most. Below it are the lines that would
    fit better in motoko.yaml, if there are any: of studies of which three or more runs have ended.
    The command works with and without a supervisor, and changes nothing.

    The figures are recorded when a run has ended, and are those of its last attempt. They count all
    processes that launch.sh, or a process of it, has waited for. As of when this is, and what is
    not known, is said on standard error.

    \b
    Examples:
      motoko usage
      motoko usage solve --json
    """
    from motoko.cli.render import usage_tables
    from motoko.reports.used_resources import usage_of

    config = load()
    studies = with_databases(config, bd_study)
    tell_all_standing(config, studies)
    usages = [usage_of(config, study) for study in studies]
    (usage_tables.show_json if as_json else usage_tables.show)(config, usages)
