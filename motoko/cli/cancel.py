"""``motoko cancel``: keep runs from being started, and end those that run."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from collections.abc import Sequence

import click

from motoko.cli.selecting import (
    ALL,
    chosen,
    constraints_option,
    named_runs,
    study_option,
)
from motoko.config import StudyConfig, WorkflowConfig, load

PATIENCE_S = 15.0
EXIT_NOT_ENDED = 1


@click.command(short_help="Cancel runs: those that wait, and those that run.")
@click.argument("runs", nargs=-1, metavar="[STUDY.ID]...")
@study_option("All runs of this study that have not ended.")
@constraints_option("The runs that have not ended and obey these constraints.")
@click.pass_context
def command(
    context: click.Context, runs: tuple[str, ...], bd_study: str, constraints: tuple[str, ...]
) -> None:
    """Cancel runs: those that wait are never started, those that run are ended.

    They become FAILED, with the reason "cancelled by" you, and are not tried again by themselves;
    whoever awaits one gets RunFailed. All processes of a running one are ended, by SIGTERM and
    3 s later by SIGKILL. `motoko retry` has it executed again.

    Name the runs as `motoko info` does, or choose them by --bd_study or --constraints. Nothing is
    asked. If a run that is named has ended already, nothing is done, and the exit code is 2. The
    command waits until the runs have ended; its exit code is 1 if some have not within 15 s. It
    works with and without a supervisor.

    \b
    Examples:
      motoko cancel mult.3 mult.7
      motoko cancel --constraints "run_name = first, x > 3"
      motoko cancel --bd_study mult
    """
    config = load()
    if not runs and not constraints and bd_study == ALL:
        raise click.UsageError("name runs (STUDY.ID), or give --constraints or --bd_study")
    selecting = bd_study if constraints or bd_study != ALL else None
    if not cancel_runs(config, named_runs(config, runs), selecting, constraints):
        context.exit(EXIT_NOT_ENDED)


def cancel_runs(
    config: WorkflowConfig,
    named: dict[str, list[int]],
    bd_study: str | None = None,
    constraints: tuple[str, ...] = (),
) -> bool:
    """Cancel named runs, and those that obey constraints (none without ``bd_study``).

    Says what became of each; whether all of them have ended.
    """
    from motoko.bd.cancelling import Cancellation, Stage, check_cancel, stages, until_ended
    from motoko.bd.maintenance import opened, selected

    selecting = [] if bd_study is None else chosen(config, bd_study)
    names = [*named, *(study.name for study in selecting if study.name not in named)]
    who = getpass.getuser()
    with contextlib.ExitStack() as stack:
        work: list[Cancellation] = []
        for name in names:
            study = config.studies[name]
            if bd_study == ALL and name not in named and study.is_local and not study.created:
                continue
            base = stack.enter_context(opened(config, study))
            numbers = set(named.get(name, []))
            check_cancel(base, sorted(numbers))
            if study in selecting:
                found = stages(base, selected(base, constraints))
                numbers |= {number for number, at in found.items() if at is not Stage.ENDED}
                over = sum(at is Stage.ENDED for at in found.values())
                if over:
                    click.echo(f"{name}: {over} {'run has' if over == 1 else 'runs have'} ended")
            work.append(Cancellation(base, numbers, who))
        # Nothing is changed before everything has been looked at.
        for each in work:
            each.look()
        if any(each.left for each in work):
            asyncio.run(until_ended(config, work, PATIENCE_S))
        for each in work:
            _tell(each.base.study.name, each.ended, each.state_of_left())
    if not any(each.ended or each.left for each in work):
        click.echo("no runs to cancel")
    return not any(each.left for each in work)


def cancel_jobs(config: WorkflowConfig, studies: Sequence[StudyConfig]) -> None:
    """Cancel all runs that are batch jobs, and say what became of each."""
    from motoko.bd.cancelling import Cancellation, until_ended
    from motoko.bd.maintenance import opened
    from motoko.job_facts import is_followed

    with contextlib.ExitStack() as stack:
        work: list[Cancellation] = []
        for study in studies:
            if not study.is_local or not study.created:
                continue
            base = stack.enter_context(opened(config, study))
            numbers = [run.entries["id"] for run in base.all_runs() if is_followed(run.entries)]
            work.append(Cancellation(base, numbers, getpass.getuser()))
        for each in work:
            each.look()
        if any(each.left for each in work):
            asyncio.run(until_ended(config, work, PATIENCE_S))
        for each in work:
            _tell(each.base.study.name, each.ended, each.state_of_left())


def _tell(study: str, ended: dict[int, str], left: dict[int, str]) -> None:
    for number in sorted({*ended, *left}):
        if number in ended:
            click.echo(f"{study}.{number}: {ended[number]}")
        else:
            click.echo(
                f"{study}.{number}: still {left[number]} after {PATIENCE_S:.0f} s; it is ended as "
                "soon as its launcher hears of it",
                err=True,
            )
