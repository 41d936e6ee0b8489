"""``motoko kill``: stop the workflow, with its launchers and their local runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from motoko import control
from motoko.config import WorkflowConfig, load

ANSWER_S = 5.0


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--now", is_flag=True, help="Do not ask, even if runs are running.")
def command(directory: Path | None, now: bool) -> None:
    """Stop the workflow: its supervisor, its daemons and the runs they started here.

    Runs in a batch system go on. On a terminal it asks first if local runs are running.
    """
    config = load(directory)
    if not control.is_running(config) and not control.living_daemons(control.records(config)):
        control.refuse_elsewhere(config)
        click.echo("nothing is running")
        return
    if not now and sys.stdin.isatty() and sys.stderr.isatty():
        _confirm(config)
    control.stop(config, announce=click.echo)


def _confirm(config: WorkflowConfig) -> None:
    status = control.supervisor_status(config, ANSWER_S)
    daemons = status["daemons"] if status else []
    running = sum(daemon["counts"].get("running", 0) for daemon in daemons)
    if running:
        runs = "1 run is" if running == 1 else f"{running} runs are"
        click.confirm(f"{runs} running and will be ended. Stop?", abort=True, err=True)
