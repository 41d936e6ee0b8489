"""Lines about runs that were cancelled, cleaned, retried, lost or interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from motoko.config import WorkflowConfig
from motoko.config.policy import FAIL
from motoko.host.durations import counted
from motoko.host.sizes import as_written, shown
from motoko.runs.states import CREATED

if TYPE_CHECKING:
    from motoko.operations.cancelled_runs import Cancelled
    from motoko.operations.cancelling import CancelledRun
    from motoko.operations.cleaning import Cleaned
    from motoko.operations.directory_removal import Removed
    from motoko.operations.lost_runs import LostRun
    from motoko.operations.retrying import RetriedRun


def show_cancelled(cancelled: Cancelled) -> None:
    """Print a line for each run; those that have not ended are named on stderr."""
    for study, count in cancelled.over.items():
        click.echo(f"{study}: {count} {'run has' if count == 1 else 'runs have'} ended")
    for run in cancelled.runs:
        name = f"{run.study}.{run.run_id}"
        if run.outcome is not None:
            click.echo(f"{name}: {outcome_of(run)}")
        else:
            click.echo(
                f"{name}: still {run.state} after {cancelled.patience:.0f} s; it is ended as "
                "soon as its launcher hears of it",
                err=True,
            )


def outcome_of(run: CancelledRun) -> str:
    """What has become of a cancelled run that has ended."""
    from motoko.operations.cancelling import CancelOutcome

    match run.outcome:
        case CancelOutcome.NOT_STARTED:
            return "cancelled; it was not started"
        case CancelOutcome.PROCESSES_ENDED:
            return "cancelled; its processes were ended"
        case CancelOutcome.GONE:
            return "is gone"
        case _:
            return f"ended by itself; it is {run.state}"


def show_retried(runs: Iterable[RetriedRun], *, err: bool = False) -> int:
    """Print a line for each run as it is retried (on stderr with ``err``); returns their number."""
    count = 0
    for run in runs:
        click.echo(f"{run.study}.{run.run_id}: CREATED again, attempt {run.attempt}", err=err)
        count += 1
    return count


def show_lost(runs: Iterable[LostRun]) -> int:
    """Print a line for each run as it is declared lost; returns their number."""
    count = 0
    for run in runs:
        what = "CREATED again" if run.state == CREATED else f"it is {run.state} now"
        click.echo(f"{run.study}.{run.run_id}: lost on {run.host}, {what}")
        count += 1
    return count


def show_cleaned(studies: Iterable[Cleaned], deleted: bool) -> None:
    """Print a line for each study as it is cleaned."""
    what = "deleted" if deleted else "reset"
    for cleaned in studies:
        line = f"{cleaned.study}: {what} {counted(len(cleaned.done), 'run')}"
        if cleaned.untouched:
            count = len(cleaned.untouched)
            line += f", {count} {'was' if count == 1 else 'were'} never started"
        if cleaned.freed:
            line += f"; dropped {as_written(cleaned.freed)} of files that no run has any more"
        click.echo(line)
        for path in cleaned.left:
            click.echo(f"left alone: {path}, which is not in {cleaned.directory}", err=True)


def show_removed(studies: Iterable[Removed]) -> None:
    """Print a line for each study as its run directories are removed."""
    for removed in studies:
        line = f"{removed.study}: removed {counted(removed.directories, 'run directory')}"
        line += f" ({shown(removed.freed)})"
        if removed.executed:
            line += f"; {removed.executed} not ended, left alone"
        click.echo(line)


def show_interrupted(config: WorkflowConfig, running: Mapping[str, int]) -> None:
    """Say what happens to runs that were running when the workflow was stopped.

    ``running`` has the number of these runs by study.
    """
    failed = [name for name in running if config.studies[name].policy.interrupted == FAIL]
    again = sum(count for name, count in running.items() if name not in failed)
    if again:
        were = "1 run was" if again == 1 else f"{again} runs were"
        click.echo(f"{were} interrupted; the next start executes {'it' if again == 1 else 'them'}")
    for name in failed:
        if running[name]:
            click.echo(f"{name}: {running[name]} interrupted and failed (`interrupted: fail`)")
