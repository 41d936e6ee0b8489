"""``motoko supervise``: start the workflow's daemons and look after them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from motoko import control
from motoko.config import WorkflowConfig, load

ANSWER_S = 10.0


@click.command()
@click.argument("motoko_yaml", required=False, type=click.Path(path_type=Path))
@click.option("--detach", is_flag=True, help="Go to the background as soon as all is ready.")
@click.option("--slots", type=click.IntRange(min=1), help="Runs at the same time, in nproc.")
@click.option("--generator", help="bash or slurm, in place of motoko.yaml's.")
@click.option("--no-launchers", is_flag=True, help="Start no created runs.")
def command(
    motoko_yaml: Path | None,
    detach: bool,
    slots: int | None,
    generator: str | None,
    no_launchers: bool,
) -> None:
    """Start the workflow's daemons and look after them.

    MOTOKO_YAML is the file or its directory, by default the current directory. In the foreground,
    Ctrl-C stops everything. If the workflow is supervised already, the launchers that it lacks and
    the daemons that were given up are started, and nothing else is done.
    """
    config = load(motoko_yaml)
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    launchers = not no_launchers
    if control.is_running(config):
        _join(config, launchers, slots, generator)
    elif detach:
        control.start_detached(
            config.path,
            launchers=launchers,
            slots=slots,
            generator=generator,
            announce=click.echo,
        )
    else:
        # The one command that is the supervisor itself.
        from motoko.supervisor.main import supervise
        from motoko.supervisor.report import Terminal

        try:
            supervise(config, Terminal(), launchers=launchers, slots=slots, generator=generator)
        except control.AlreadySupervised:
            if control.supervisor_elsewhere(config):
                raise
            _join(config, launchers, slots, generator)  # somebody else was faster


def _join(
    config: WorkflowConfig, launchers: bool, slots: int | None, generator: str | None
) -> None:
    """Make do with the supervisor that is there."""
    status = control.wait_for_answer(config, time.monotonic() + ANSWER_S)
    runtime = control.records(config)
    again = control.ask(runtime, "retry_failed") or {}
    added: dict[str, Any] = {}
    if launchers:
        answer = control.ask(runtime, "add_launchers", slots=slots, generator=generator)
        added = answer or {}
    for name in (*again.get("retried", []), *added.get("added", [])):
        click.echo(f"starting {name}")
    supervisor = status["supervisor"]
    since = datetime.now() - timedelta(seconds=supervisor["uptime_s"])
    click.echo(f"already running: pid {supervisor['pid']}, since {since.isoformat(' ', 'seconds')}")
    control.wait_until_ready(config, time.monotonic() + config.supervision.started_s)
