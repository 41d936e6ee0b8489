"""``motoko view``: a tree of links in which people find runs."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import study_option, with_databases
from motoko.config import load
from motoko.host.durations import counted


@click.command(short_help="Make a tree of links in which people find runs.")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@study_option("Only this study.")
def command(target: Path, bd_study: str) -> None:
    """Make a tree of links to run directories in DIR, named by what the runs were given.

    The links are STUDY/RUN_NAME/x=1/y=2/run-3: a directory for each parameter of the jobs that has
    more than one value. DIR must be empty, or made by this command. Called again, the command makes
    what is missing and removes links to runs and directories that are gone. Files of yours in DIR
    stay.

    \b
    Examples:
      motoko view runs-by-name
    """
    from motoko.operations.linked_tree import keep
    from motoko.reports.run_places import places

    config = load()
    tell_standing(config)
    wanted = {
        path: directory
        for study in with_databases(config, bd_study)
        for path, directory in places(config, study).items()
    }
    changes = keep(target.absolute(), wanted)
    click.echo(
        f"{target}: {counted(changes.made, 'link')} made, {changes.removed} removed, "
        f"{changes.kept} left as they were"
    )
