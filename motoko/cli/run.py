"""``motoko run``: everything with one command."""

from __future__ import annotations

import argparse
import contextlib
import signal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from motoko.api.orchestrator_arguments import (
    Parser,
    add_earlier_runs_options,
    execute,
    help_text,
    parse,
    run_name,
    wants_help,
    workflows_own,
)
from motoko.cli.earlier_runs import refuse_earlier, retry_failed
from motoko.cli.render.errors_shown import tell_any
from motoko.cli.terminal_log import log_to_terminal
from motoko.cli.texts import EMPTY
from motoko.config import WorkflowConfig, load
from motoko.control import client, daemon_records
from motoko.control.registration import refuse_held
from motoko.errors import MotokoError, WorkflowStopped, expected_errors
from motoko.host.identity import Identity
from motoko.operations import detaching, draining, starting, stopping
from motoko.operations.renewing import renew_launchers
from motoko.runs.entries import OwnEntries
from motoko.runs.references import listed
from motoko.runs.states import UNENDED_STATES, state_of

if TYPE_CHECKING:
    from motoko.api.workflow import Workflow

_HELP = """\
Run the workflow from beginning to end: create the studies that are missing (none is reset), start
a supervisor if there is none, run the orchestrator in this terminal with live progress, and stop
the supervisor, if it was started here, once the runs have ended. Called again, the workflow goes on
where it was.
"""


@click.command(
    add_help_option=False,  # argparse's shows the workflow's own options too
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def command(context: click.Context) -> None:
    """Run the workflow from beginning to end with one command."""
    from motoko.api.workflow import Workflow

    directory, arguments = _directory(context.args)
    if wants_help(arguments):
        click.echo(help_text(_parser, directory), nl=False)
        return
    config = load(directory)
    parser = _parser()
    values, parameters = parse(config, arguments, parser)
    if values.motoko_dry_run:
        context.exit(_rehearse(config, values.run_name, parameters, context.obj.verbose))
    daemon_records.refuse_guests(config)
    refuse_held(daemon_records.records(config), values.run_name)
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    log_to_terminal(context.obj.verbose)
    _create_missing(config)
    starting.let_moved_end(config, lambda line: click.echo(line, err=True))
    before = daemon_records.supervisor_identity(config)
    started = not client.is_supervised(config)
    # A signal to end also ends the supervisor that was started here. (`nohup` ignores SIGHUP.)
    signal.signal(signal.SIGTERM, _leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _leave)
    try:
        try:
            starting.start_detached(config.path, launchers=True, slots=values.motoko_slots)
        except MotokoError:
            started = False  # leave everything as it is, so that the user can look at it
            raise
        click.echo(f"supervisor {'started' if started else 'found'}: {config.path}", err=True)
        if not started:
            renew_launchers(config, config.local_studies, partial(click.echo, err=True))
        workflow = Workflow(config.path)
        workflow.run_name = values.run_name
        if values.motoko_fresh:
            refuse_earlier(workflow)
        if values.retry_failed:
            retry_failed(config, values.run_name, err=True)
        if values.detach:
            given = ["--run_name", values.run_name, *workflows_own(parser, arguments)]
            begun = detaching.start(config, values.run_name, given, None)
            started, before = False, None  # everything goes on
            click.echo(
                f"{begun}\n`motoko info` shows how far the runs are; "
                f"`motoko kill {config.directory}` stops it all",
                err=True,
            )
            return
        code = _execute(workflow, parameters, is_ours=started, verbose=context.obj.verbose)
    except WorkflowStopped:
        started, before = False, None  # another command is stopping the workflow
        raise
    finally:
        _end(config, started=started, before=before)
    context.exit(code)


def _end(config: WorkflowConfig, *, started: bool, before: Identity | None) -> None:
    """Stop the supervisor that was started, despite signals; say what is left running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if started:
        with contextlib.suppress(OSError):  # the terminal may have gone
            click.echo("stopping what was started", err=True)
        stopping.stop(config, command="motoko run")
    elif before is not None and before.alive:
        with contextlib.suppress(OSError):
            click.echo(
                f"left running: the supervisor (pid {before.pid}) that was there before, and what "
                f"runs under it; `motoko kill {config.directory}` stops it",
                err=True,
            )


def _parser() -> Parser:
    parser = Parser(
        prog="motoko run [DIR]",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run_name", "-n", type=run_name, default="run", help="names this execution's runs"
    )
    parser.add_giving_way(
        "dry-run",
        action="store_true",
        help="execute the orchestrator on copies of the databases, but no run; nothing is kept",
    )
    parser.add_argument(
        *("--detach", "-d"),
        action="store_true",
        help="return when all is started: supervisor and orchestrator go on in the background",
    )
    add_earlier_runs_options(parser)
    parser.add_giving_way(
        "slots",
        type=_count,
        metavar="N",
        help="how many runs may run at once, counted in nproc (default: all cores)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of slots: 1 or more")
    return int(text)


class _ToldToEnd(SystemExit):
    """A signal has told this process to end."""


def _leave(number: int, frame: FrameType | None) -> None:
    raise _ToldToEnd(128 + number)


def _directory(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """The workflow, if the first argument names one, and the other arguments."""
    if arguments and not arguments[0].startswith("-"):
        if not arguments[0].strip():
            raise click.UsageError(f"DIR: {EMPTY}")
        return Path(arguments[0]), arguments[1:]
    return None, arguments


def _rehearse(
    config: WorkflowConfig, run_name: str, parameters: dict[str, object], verbose: bool
) -> int:
    """Do a dry run: show the runs that would be created, and launch.sh; returns the exit code."""
    from motoko.api.rehearsal import rehearsed
    from motoko.cli.render.rehearsed_studies import show

    code = 0
    with rehearsed(config) as workflow:
        workflow.run_name = run_name
        try:
            execute(workflow, parameters)
        except Exception as error:  # noqa: BLE001 (the user's orchestrator may raise anything)
            code = tell_any(error, verbose, (workflow.directory, str(config.directory)))
        show(workflow.rehearsed.report())
    return code


def _create_missing(config: WorkflowConfig) -> None:
    missing = [s for s in config.studies.values() if s.is_local and not s.created]
    if missing:
        from motoko.store.study_database import create_study

        for study in missing:
            create_study(study)
        click.echo(f"created: {', '.join(study.name for study in missing)}", err=True)


def _execute(
    workflow: Workflow, parameters: dict[str, object], *, is_ours: bool, verbose: bool
) -> int:
    """Run the orchestrator and wait for its runs; returns the exit code.

    ``is_ours``: this command has started the supervisor. Raises ``WorkflowStopped``, and
    ``MotokoError`` for failed runs that were not noticed.
    """
    import asyncio

    from motoko.api.progress import Progress
    from motoko.api.unnoticed_failures import refuse_unnoticed

    if interrupted := _interrupted(workflow):
        click.echo(f"interrupted before, executed again: {listed(interrupted)}", err=True)
    failure: BaseException | None = None
    with Progress(workflow) as progress:
        try:
            execute(workflow, parameters)
        except (WorkflowStopped, _ToldToEnd):
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, SystemExit) and error.code in (0, None):
                pass
            elif any(isinstance(part, WorkflowStopped) for part in expected_errors(error)):
                raise
            else:
                failure = error
        if failure is None:
            asyncio.run(progress.until_all_have_ended())
    if failure is not None:
        # Shown at once, after the progress table has been removed.
        code = tell_any(failure, verbose)
        if is_ours:
            _let_running_end(workflow)
        return code
    refuse_unnoticed(workflow)
    return 0


def _interrupted(workflow: Workflow) -> list[str]:
    """The runs that were interrupted when the workflow was stopped earlier."""
    return [
        f"{name}.{run.entries['id']}"
        for name, manager in workflow.task_managers.items()
        for run, _ in manager.select()
        if OwnEntries(run.entries).interruptions and state_of(run.entries) in UNENDED_STATES
    ]


def _let_running_end(workflow: Workflow) -> None:
    """Start no more runs, since nothing would await them; let running ones end."""

    def announce(line: str) -> None:
        click.echo(f"motoko: the orchestrator has failed: {line}; Ctrl-C ends them", err=True)

    draining.let_runs_end(workflow.motoko_engine.definition, None, announce, resume=False)
