"""``motoko clean``: reset runs, or delete them."""

from __future__ import annotations

import click

from motoko.cli.selecting import (
    ALL,
    Concern,
    choice_of,
    constraints_option,
    created,
    study_option,
    yes_option,
)
from motoko.cli.texts import TIME_SPAN
from motoko.config import load


@click.command(short_help="Reset or delete runs, or remove their directories.")
@click.argument("runs", nargs=-1, metavar="[STUDY.ID]...")
@click.option("--delete", is_flag=True, help="Delete the runs from the database (jobs stay).")
@click.option(
    "--directories", is_flag=True, help="Remove only the directories of runs that have ended."
)
@click.option(
    "--older",
    type=TIME_SPAN,
    metavar="TIME",
    help="With --directories: only of runs that ended this long ago: 30d, 12h.",
)
@study_option("Only this study's runs.")
@constraints_option("Only runs that obey these constraints.")
@yes_option()
def command(
    runs: tuple[str, ...],
    delete: bool,
    directories: bool,
    older: float | None,
    bd_study: str,
    constraints: tuple[str, ...],
    yes: bool,
) -> None:
    """Reset runs: their directories and quantities are removed, their state is CREATED again.

    Name the runs as `motoko info` does, or choose them by --bd_study or --constraints. If you
    choose none, all runs of all studies are meant; the command then asks first, and without a
    terminal it refuses, unless --yes is given. A launcher that is running starts the reset runs at
    once. With --delete the runs are removed from the database instead; createTask then makes new
    ones.

    With --directories, the directories of runs that have ended are removed, and nothing else:
    states, results, times and pushed quantities stay, and nothing is executed again.

    If any of the runs is being executed, the command refuses and does nothing. It works with and
    without a supervisor. Values that a run has stored (run["y"] = ...) stay until the run is
    executed again.

    \b
    Examples:
      motoko clean mult.3 mult.7
      motoko clean --constraints "state = FAILED"
      motoko clean --bd_study mult --constraints "x > 3, run_name = test"
      motoko clean --delete --constraints "run_name = test"
      motoko clean --directories --older 30d --constraints "state = FINISHED"
    """
    if directories and delete:
        raise click.UsageError("--directories keeps the runs, --delete removes them: choose one")
    if older is not None and not directories:
        raise click.UsageError("--older goes with --directories")
    if directories:
        _remove_directories(runs, older, bd_study, constraints, yes=yes)
        return
    from motoko.cli.render.run_changes import show_cleaned
    from motoko.operations.cleaning import clean_runs
    from motoko.operations.renewing import renew_launchers

    config = load()
    concern = Concern("deleted" if delete else "reset")
    choice = choice_of(config, runs, bd_study, constraints, concern, yes=yes)
    if bd_study == ALL and not runs:
        studies = list(config.studies.values())
        for study in studies:
            if study not in created(studies):
                click.echo(f"{study.name}: not created")
    if not delete:
        names = [study.name for study in choice.studies]
        renew_launchers(config, {*names, *choice.named}, click.echo)
    show_cleaned(clean_runs(config, choice, delete=delete), delete)


def _remove_directories(
    runs: tuple[str, ...],
    older: float | None,
    bd_study: str,
    constraints: tuple[str, ...],
    *,
    yes: bool,
) -> None:
    from motoko.cli.render.run_changes import show_removed
    from motoko.operations.directory_removal import remove_directories

    config = load()
    # How old they have to be is a choice, too.
    yes = yes or older is not None
    concern = Concern("without their directories, if they have ended")
    choice = choice_of(config, runs, bd_study, constraints, concern, yes=yes)
    show_removed(remove_directories(config, choice, older_than=older or 0.0))
