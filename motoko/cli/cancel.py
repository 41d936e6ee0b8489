"""``motoko cancel``: keep runs from being started, and end those that run."""

from __future__ import annotations

import click

from motoko.cli.selecting import Concern, choice_of, constraints_option, study_option, yes_option
from motoko.config import load

EXIT_NOT_ENDED = 1


@click.command(short_help="Cancel runs: those that wait, and those that run.")
@click.argument("runs", nargs=-1, metavar="[STUDY.ID]...")
@study_option("All runs of this study that have not ended.")
@constraints_option("The runs that have not ended and obey these constraints.")
@yes_option()
@click.pass_context
def command(
    context: click.Context,
    runs: tuple[str, ...],
    bd_study: str,
    constraints: tuple[str, ...],
    yes: bool,
) -> None:
    """Cancel runs: those that wait are never started, those that run are ended.

    Cancelled runs become FAILED, with the reason "cancelled by" you, and are not tried again
    automatically; an orchestrator that awaits one gets RunFailed. All processes of a running run
    are ended, by SIGTERM and 3 s later by SIGKILL. `motoko retry` executes cancelled runs again.

    Name the runs as `motoko info` does, or choose them by --bd_study or --constraints. If you
    choose none, all are meant; the command then asks first, and without a terminal it refuses,
    unless --yes is given. If a run that you name has ended already, nothing is done, and the exit
    code is 2. The command waits until the runs have ended; its exit code is 1 if some of them have
    not ended within 15 s. It works with and without a supervisor.

    \b
    Examples:
      motoko cancel mult.3 mult.7
      motoko cancel --constraints "run_name = first, x > 3"
      motoko cancel --bd_study mult
    """
    from motoko.cli.render.run_changes import show_cancelled
    from motoko.operations.cancelled_runs import cancel_runs

    config = load()
    concern = Concern("cancelled", ("created", "running"))
    choice = choice_of(config, runs, bd_study, constraints, concern, yes=yes)
    cancelled = cancel_runs(config, choice)
    show_cancelled(cancelled)
    if not cancelled.runs:
        click.echo("no runs to cancel")
    if not cancelled.all_ended:
        context.exit(EXIT_NOT_ENDED)
