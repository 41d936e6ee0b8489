"""``motoko orchestrator``: start, stop or show orchestrators."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from motoko.cli.earlier_runs import refuse_earlier, retry_failed
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.texts import TEXT
from motoko.config import load
from motoko.control import daemon_records

if TYPE_CHECKING:
    from motoko.api.workflow import Workflow

LINES_SHOWN = 100  # of a log
# Our options, for completion in shells, which must not import the workflow's code.
_START_OPTIONS = (
    "--run_name",
    "--detach",
    "--retry-failed",
    "--fresh",
    "--restart",
    "--quiet",
    "--json",
)


class _Start(click.Command):
    """The options are argparse's, because workflows add their own to an argparse parser."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _START_OPTIONS if name.startswith(incomplete)]


@click.group(short_help="Start, stop or show orchestrators.")
def command() -> None:
    """Start, stop or show orchestrators, the programs that drive the workflow's studies.

    \b
    Examples:
      motoko orchestrator start --run_name first
      motoko orchestrator status
    """


@command.command(
    cls=_Start,
    short_help="Run the orchestrator.",
    add_help_option=False,  # argparse's shows the workflow's own options too
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def start(context: click.Context) -> None:
    """Run the orchestrator (see `motoko orchestrator start --help`)."""
    from motoko.api.orchestrator_arguments import (
        help_text,
        parse,
        start_parser,
        wants_help,
    )
    from motoko.cli.terminal_log import log_to_terminal

    if wants_help(context.args):
        click.echo(help_text(start_parser), nl=False)
        return
    config = load()
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    values, parameters = parse(config, context.args, start_parser())
    from motoko.api.workflow import Workflow
    from motoko.operations.renewing import renew_launchers

    log_to_terminal(context.obj.verbose)
    with Workflow(config.path) as workflow:
        workflow.run_name = values.run_name
        if values.motoko_fresh:
            refuse_earlier(workflow)
        renew_launchers(config, config.local_studies, partial(click.echo, err=True))
        if values.retry_failed:
            retry_failed(config, values.run_name)
        if values.detach:
            from motoko.operations import detaching

            workflow.motoko_engine.served()  # starts a supervisor if there is none
            restart = values.motoko_restart
            click.echo(detaching.start(config, values.run_name, context.args, restart))
        else:
            progress = _progress(workflow, quiet=values.motoko_quiet, as_json=values.motoko_json)
            if code := _execute(workflow, parameters, progress, context.obj.verbose):
                context.exit(code)


def _execute(
    workflow: Workflow,
    parameters: dict[str, Any],
    progress: contextlib.AbstractContextManager[object],
    verbose: bool,
) -> int:
    """Execute a workflow, and show its errors in the form that its author needs; the exit code."""
    from motoko.api.orchestrator_arguments import execute_wholly
    from motoko.cli.render.errors_shown import tell_any

    try:
        with progress:
            execute_wholly(workflow, parameters)
    except OSError as error:
        if error.filename is None:
            raise  # an error of its output
        return tell_any(error, verbose)
    except Exception as error:  # noqa: BLE001 (it is shown)
        return tell_any(error, verbose)
    return 0


def _progress(
    workflow: Workflow, *, quiet: bool, as_json: bool
) -> contextlib.AbstractContextManager[object]:
    """The context manager that shows the progress: on a terminal, or if it is asked for."""
    if quiet or not (as_json or sys.stderr.isatty()):
        return contextlib.nullcontext()
    from motoko.api.progress import Progress

    return Progress(workflow, as_json=as_json)


@command.command()
@click.option("--run_name", "-n", type=TEXT, help="Only the orchestrator of this run_name.")
def stop(run_name: str | None) -> None:
    """Stop the workflow's orchestrators on this host, or one of them. Runs go on.

    Orchestrators are told to end, and killed if they do not. Started again with the same run_name,
    they go on where they were.
    """
    from motoko.operations import detaching

    for line in detaching.stop(load(), run_name) or ["no orchestrator is running"]:
        click.echo(line)


@command.command()
@click.option("--logs", "-l", is_flag=True, help="Show the logs of detached orchestrators.")
@click.option("--follow", "-f", is_flag=True, help="Show the logs, and follow them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def status(logs: bool, follow: bool, as_json: bool) -> None:
    """Show the workflow's orchestrators: those that run, and how detached ones have ended.

    \b
    Examples:
      motoko orchestrator status
      motoko orchestrator status --logs
      motoko orchestrator status --follow
    """
    from motoko.cli.render import log_sections, orchestrators
    from motoko.reports.orchestrator_states import collect

    config = load()
    tell_standing(config)
    show = orchestrators.show_json if as_json else orchestrators.show
    show(collect(config))
    logged = daemon_records.records(config).wf / "log"
    files: list[Path] = sorted(logged.glob("orchestrator-*.log"))
    if (logs or follow) and files:
        log_sections.show(files, LINES_SHOWN, follow=follow)
