"""``motoko retry``: have failed runs executed again."""

from __future__ import annotations

import click

from motoko.cli.selecting import Concern, choice_of, constraints_option, study_option, yes_option
from motoko.cli.texts import TEXT
from motoko.config import load


@click.command(short_help="Have failed runs executed again.")
@click.argument("runs", nargs=-1, metavar="[STUDY.ID]...")
@study_option("All failed runs of this study.")
@constraints_option("The failed runs that obey these constraints.")
@click.option("--timeout", type=TEXT, help="How long an attempt may take from now on: 2h, 10:00.")
@click.option("--retries", type=click.IntRange(min=0), help="How often these runs are tried again.")
@click.option("--nproc", type=click.IntRange(min=1), help="The slots that each run takes.")
@click.option(
    "--environment",
    multiple=True,
    type=TEXT,
    metavar="NAME=VALUE",
    help="An environment variable for these runs; may be given several times.",
)
@click.option(
    "--slurm-option",
    "slurm_options",
    multiple=True,
    type=TEXT,
    metavar="OPTION",
    help="An option of sbatch such as time=2:00:00; may be given several times.",
)
@click.option(
    "--same-files", is_flag=True, help="Keep the runs' previous files, including launch.sh."
)
@click.option(
    "--changed",
    is_flag=True,
    help="Finished runs that were made with files other than the present ones, instead of failed "
    "runs.",
)
@click.option(
    "--lost",
    is_flag=True,
    help="Runs that were started on another host, which is gone for good, instead of failed runs.",
)
@yes_option()
def command(
    runs: tuple[str, ...],
    bd_study: str,
    constraints: tuple[str, ...],
    timeout: str | None,
    retries: int | None,
    nproc: int | None,
    environment: tuple[str, ...],
    slurm_options: tuple[str, ...],
    same_files: bool,
    changed: bool,
    lost: bool,
    yes: bool,
) -> None:
    """Have failed runs executed again, once you have mended what made them fail.

    A failed run becomes CREATED again and is started by the study's launcher, as one more attempt
    in the same run directory; the output of earlier attempts is kept there. The attempt uses the
    study's current launch.sh, doIt.py and config files (with --same-files those of the earlier
    attempts), and the current motoko.yaml: a launcher that was started before that file was changed
    is restarted, which disturbs no run.

    --timeout, --nproc and the like change how these runs (and no others) are executed, permanently:
    they replace the values of createTask's run_params; variables and options are added to them.

    With --changed, the command is for finished runs that were made with another doIt.py or other
    config files than the current ones: they are reset, as by `motoko clean`, and executed again.

    With --lost, the command is for runs that were started on a host from which `motoko supervise
    --takeover` has taken the workflow over, and whose end is not known. They wait until that host
    is up again and reports their end. With --lost you say that the host will not come back: the
    runs are interrupted, and executed again here.

    Name the runs as `motoko info` does, or choose failed runs by --bd_study or --constraints. If
    you choose none, all failed runs are meant; the command then asks first, and without a terminal
    it refuses, unless --yes is given.
    An orchestrator that ended because of failed runs goes on when it is started again with the same
    run_name. The command works with and without a supervisor.

    \b
    Examples:
      motoko retry mult.3 mult.7
      motoko retry --constraints "run_name = first"
      motoko retry --timeout 4h --slurm-option mem=8G mult.3
      motoko retry --changed --bd_study mult
      motoko retry --lost --bd_study mult
    """
    from motoko.cli.render.run_changes import show_cleaned, show_retried
    from motoko.operations.cleaning import clean_runs
    from motoko.operations.retrying import has_launcher, retry_runs

    if lost and changed:
        raise click.UsageError("--lost and --changed mean different runs: choose one")
    changes = (same_files, timeout, nproc, environment, slurm_options)
    is_changed = any(changes) or retries is not None
    if lost and is_changed:
        raise click.UsageError("--lost gives runs up: only options that choose them go with it")
    if changed and is_changed:
        raise click.UsageError("--changed resets runs: only options that choose them go with it")
    config = load()
    if changed:
        concern = Concern("reset and executed again, where their files have changed", ("finished",))
        choice = choice_of(config, runs, bd_study, constraints, concern, yes=yes)
        show_cleaned(clean_runs(config, choice, outdated=True), False)
        return
    if lost:
        from motoko.cli.render.run_changes import show_lost
        from motoko.operations.lost_runs import declare_lost

        concern = Concern("given up where their host is gone, and executed again", ("running",))
        choice = choice_of(config, runs, bd_study, constraints, concern, yes=yes)
        if not show_lost(declare_lost(config, choice)):
            click.echo("no run is lost")
        return
    given = {
        "timeout": timeout,
        "retries": retries,
        "nproc": nproc,
        "environment": dict(map(_variable, environment)),
        "slurm_options": list(slurm_options),
    }
    policy = {name: value for name, value in given.items() if value not in (None, {}, [])}
    choice = choice_of(
        config, runs, bd_study, constraints, Concern("retried", ("failed",)), yes=yes
    )
    retried = retry_runs(config, choice, policy, same_files=same_files, announce=click.echo)
    if not show_retried(retried):
        click.echo("no failed runs")
    elif not has_launcher(config):
        click.echo("no launcher is running: `motoko supervise` starts them", err=True)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--environment: {text!r} is not NAME=VALUE")
    return name, value
