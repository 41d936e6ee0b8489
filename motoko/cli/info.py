"""``motoko info``: the studies, and the states of their runs."""

from __future__ import annotations

from functools import partial

import click

from motoko.cli.render import study_overviews
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import ALL, chosen, study_option
from motoko.cli.texts import TEXT
from motoko.config import load
from motoko.reports.overview import ALL_FAILURES
from motoko.reports.workflow_overview import collect


# Everything after the first argument is for canYouDigIt, options included.
@click.command(
    short_help="Show the workflow's studies and the state of their runs.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--verbose", is_flag=True, help="Show every run, and the studies' daemons.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--run_name", type=TEXT, help="Count only runs of this run_name.")
@click.option("--byobu", is_flag=True, hidden=True)
@study_option("Only this study.")
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="[- CANYOUDIGIT-ARGUMENTS...]"
)
@click.pass_context
def command(
    context: click.Context,
    verbose: bool,
    as_json: bool,
    run_name: str | None,
    byobu: bool,
    bd_study: str,
    arguments: tuple[str, ...],
) -> None:
    """Show the studies of the workflow, the states of their runs, and why failed ones failed.

    The table has the jobs and runs of each study, how many runs are created, running, finished,
    failed or in states of your own, and how long the finished runs took: the median and the
    longest, of those that have a start_time. The command works with and without a supervisor, and
    changes nothing. A study without a database is not created yet; with --bd_study that is an
    error.

    Arguments after a lone dash are passed to BlackDynamite's canYouDigIt, which is called in each
    study's directory. The studies must be supervised for that.

    \b
    Examples:
      motoko info
      motoko info --verbose --bd_study mult
      motoko info --json --run_name first
      motoko info - runs info
      motoko info --bd_study mult - jobs info --job_id 1
      motoko info - runs info --constraints "state = FAILED"
    """
    if byobu:
        raise click.UsageError(
            "--byobu of motoko 0.1.4 is gone: use `watch motoko info`, `motoko logs --follow` and "
            "`motoko events` in terminals of your own"
        )
    config = load()
    studies = chosen(config, bd_study)
    if bd_study != ALL:
        studies[0].check_created()
    if arguments:
        from motoko.operations.digging import dig

        if arguments[0] != "-":
            raise click.UsageError(
                "canYouDigIt's arguments stand behind a lone dash: "
                f"motoko info - {' '.join(arguments)}"
            )
        context.exit(dig(config, studies, arguments[1:], partial(click.echo, err=True)))
    tell_standing(config, studies)
    failures_max = ALL_FAILURES if as_json else study_overviews.FAILURES_SHOWN
    overview = collect(config, studies, run_name, keep=verbose, failures_max=failures_max)
    show = study_overviews.show_json if as_json else study_overviews.show
    show(overview, verbose=verbose)
    errors = overview.errors
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("studies", errors)
