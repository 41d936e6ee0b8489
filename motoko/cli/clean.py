"""``motoko clean``: reset runs, or delete them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from motoko.cli.selecting import chosen, constraints_option, study_option
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import MotokoError

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase

SHOWN = 10  # of the runs that are named in a message


@click.command(short_help="Reset runs to CREATED, or delete them.")
@click.option("--delete", is_flag=True, help="Delete the runs from the database (jobs stay).")
@study_option("Only this study's runs.")
@constraints_option("Only runs that obey these constraints.")
def command(delete: bool, bd_study: str, constraints: tuple[str, ...]) -> None:
    """Reset runs: their directories and quantities are removed, their state is CREATED again.

    All runs of all studies, or those that --bd_study and --constraints choose. Nothing is asked.
    A launcher that is running starts the reset runs at once. With --delete the runs are removed
    from the database instead; createTask makes new ones then.

    Runs that are being executed are refused, and then nothing is done. It works with and without
    a supervisor. Values that a run has stored (run["y"] = ...) stay until it is executed again.

    \b
    Examples:
      motoko clean --constraints "state = FAILED"
      motoko clean --bd_study mult --constraints "x > 3, run_name = test"
      motoko clean --delete --constraints "run_name = test"
    """
    from motoko.bd.maintenance import clean, opened, running, selected

    config = load()
    left: list[str] = []
    with contextlib.ExitStack() as stack:
        # Nothing is changed before everything has been looked at.
        work: list[tuple[StudyConfig, StudyBase, dict[int, str]]] = []
        busy: list[str] = []
        for study in _created(config, bd_study):
            base = stack.enter_context(opened(config, study))
            found = selected(base, constraints)
            busy += [f"{study.name}.{number}" for number in running(base, found)]
            work.append((study, base, found))
        if busy:
            raise MotokoError(
                f"these runs are being executed: {_listed(busy)}; nothing was changed",
                hint="wait for them, choose others (--constraints), or end them: `motoko kill`",
            )
        for study, base, found in work:
            done = clean(base, found, delete=delete)
            what = "deleted" if delete else "reset"
            line = f"{study.name}: {what} {len(done.done)} runs"
            if done.untouched:
                line += f", {len(done.untouched)} were never started"
            click.echo(line)
            for path in done.left:
                click.echo(f"left alone: {path}, which is not in {study.directory}", err=True)
            left += [f"{study.name}.{number}" for number in done.changed]
    if left:
        raise MotokoError(
            f"these runs have changed meanwhile and were left alone: {_listed(left)}",
            hint="look at them (`motoko info --verbose`), and call it again",
        )


def _created(config: WorkflowConfig, bd_study: str) -> list[StudyConfig]:
    """The studies that are meant; one that has no database yet has no runs."""
    studies = chosen(config, bd_study)
    if bd_study != "all":
        return studies
    for study in studies:
        if study.is_local and not study.created:
            click.echo(f"{study.name}: not created")
    return [study for study in studies if not study.is_local or study.created]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
