"""``motoko retry``: have failed runs executed again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from motoko import control
from motoko.cli.selecting import ALL, chosen, constraints_option, named_runs, study_option
from motoko.config import WorkflowConfig, load

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase


@click.command(short_help="Have failed runs executed again.")
@click.argument("runs", nargs=-1, metavar="[STUDY.ID]...")
@study_option("All failed runs of this study.")
@constraints_option("The failed runs that obey these constraints.")
def command(runs: tuple[str, ...], bd_study: str, constraints: tuple[str, ...]) -> None:
    """Have failed runs executed again, once you have mended what made them fail.

    A failed run becomes CREATED again and is started by the study's launcher, as one more attempt
    in the same run directory; the output of earlier attempts is kept there. It takes the study's
    present launch.sh, doIt.py and config files.

    Name the runs as `motoko info` does, or choose the failed ones by --bd_study or --constraints.
    An orchestrator that ended because of them goes on when it is started again with the same
    run_name. It works with and without a supervisor.

    \b
    Examples:
      motoko retry mult.3 mult.7
      motoko retry --constraints "run_name = first"
    """
    config = load()
    if not runs and not constraints and bd_study == ALL:
        raise click.UsageError("name runs (STUDY.ID), or give --constraints or --bd_study")
    named = named_runs(config, runs)
    by_constraints = bool(constraints) or bd_study != ALL
    count = retry_runs(config, bd_study if by_constraints else None, constraints, named=named)
    if not count:
        click.echo("no failed runs")
    elif not any(d.kind == "launcher" for d in control.living_daemons(control.records(config))):
        click.echo("no launcher is running: `motoko supervise` starts them", err=True)


def retry_runs(
    config: WorkflowConfig,
    bd_study: str | None = None,
    constraints: tuple[str, ...] = (),
    named: dict[str, list[int]] | None = None,
) -> int:
    """Retry the failed runs that obey constraints (none without ``bd_study``), and named ones.

    Says which, and returns how many.
    """
    from motoko.bd.maintenance import check_retry, failed, opened, retry

    named = named or {}
    selecting = [] if bd_study is None else chosen(config, bd_study)
    names = [*named, *(s.name for s in selecting if s.name not in named)]
    count = 0
    with contextlib.ExitStack() as stack:
        work: list[tuple[StudyBase, list[int]]] = []
        for name in names:
            study = config.studies[name]
            if bd_study == ALL and name not in named and study.is_local and not study.created:
                continue
            base = stack.enter_context(opened(config, study))
            numbers = named.get(name, [])
            if study in selecting:
                numbers = sorted({*numbers, *failed(base, constraints)})
            check_retry(base, numbers)
            work.append((base, numbers))
        for base, numbers in work:
            for number, attempt in retry(base, numbers).items():
                click.echo(f"{base.study.name}.{number}: CREATED again, attempt {attempt}")
                count += 1
    return count
