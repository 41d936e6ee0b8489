"""``motoko run``: everything with one command."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from motoko import control
from motoko.cli.arguments import Parser, execute, help_text, log_to_terminal, parse, wants_help
from motoko.cli.reporting import expected_errors
from motoko.config import WorkflowConfig, load
from motoko.errors import MotokoError

if TYPE_CHECKING:
    from motoko.workflow import Workflow

_HELP = """\
Run the workflow from beginning to end: create the studies that are missing (none is reset), start
a supervisor if there is none, run the orchestrator in this terminal with live progress, and stop
what was started once its runs have ended. Called again, it goes on where it was.
"""


@click.command(
    add_help_option=False,  # argparse's shows the workflow's own options too
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def command(context: click.Context) -> None:
    """Run the workflow from beginning to end with one command."""
    from motoko.workflow import Workflow

    directory, arguments = _directory(context.args)
    if wants_help(arguments):
        click.echo(help_text(_parser, directory), nl=False)
        return
    config = load(directory)
    values, parameters = parse(config, arguments, _parser())
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    log_to_terminal(context.obj.verbose)
    _create_missing(config)
    started = not control.is_running(config)
    control.start_detached(config.path, launchers=True)
    click.echo(f"supervisor {'started' if started else 'found'}: {config.path}", err=True)
    # Told to end, end what was started as well.
    signal.signal(signal.SIGTERM, _leave)
    try:
        workflow = Workflow(config.path)
        workflow.run_name = values.run_name
        _execute(workflow, parameters)
    finally:
        if started:
            click.echo("stopping what was started", err=True)
            control.stop(config)


def _parser() -> Parser:
    parser = Parser(
        prog="motoko run [DIR]",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_name", "-n", default="run", help="names this execution's runs")
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _directory(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """The workflow, if the first argument names one, and the other arguments."""
    if arguments and not arguments[0].startswith("-"):
        return Path(arguments[0]), arguments[1:]
    return None, arguments


def _create_missing(config: WorkflowConfig) -> None:
    missing = [s for s in config.studies.values() if s.is_local and not s.created]
    if missing:
        from motoko.bd.create import create_study

        for study in missing:
            create_study(study)
        click.echo(f"created: {', '.join(study.name for study in missing)}", err=True)


def _execute(workflow: Workflow, parameters: dict[str, object]) -> None:
    import asyncio

    from motoko.cli.progress import Progress

    with Progress(workflow) as progress:
        try:
            execute(workflow, parameters)
        except (MotokoError, ExceptionGroup) as error:
            if not expected_errors(error):
                raise
            # What it had started goes on: its results are there when it is run again.
            if left := progress.unfinished:
                click.echo(f"motoko: the orchestrator failed; {left} runs are to end", err=True)
            asyncio.run(progress.until_all_have_ended())
            raise
        asyncio.run(progress.until_all_have_ended())
