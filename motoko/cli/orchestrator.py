"""``motoko orchestrator``: start, stop or show orchestrators."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from motoko import control
from motoko.config import WorkflowConfig, load
from motoko.errors import MotokoError
from motoko.runtime import living_orchestrators

_START_HELP = """\
Run the workflow's orchestrator: here, or in the background with --detach.

If the workflow is not supervised, a supervisor is started without launchers, and says so; `motoko
supervise --detach` starts both. Started again with the same run_name, the orchestrator goes on
where it was: finished runs are found again, not run again. Failed ones raise at once, unless
--retry-failed has them executed again.
"""
_EXAMPLES = """\
examples:
  motoko orchestrator start --run_name first
  motoko orchestrator start -n first --detach
  motoko orchestrator start -n first --retry-failed

The options that are not described above are the workflow's own.
"""
# What the workflow's own options come on top of; for shells, which must not import it.
_START_OPTIONS = ("--run_name", "--detach", "--retry-failed", "--help")
# The detached process itself is called with this.
_DETACHED = "--motoko-detached"
STARTED_S = 20.0
STOPPED_S = 5.0


class _Start(click.Command):
    """Its options are argparse's, since workflows add theirs to an argparse parser."""

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
    from motoko.cli.arguments import help_text, log_to_terminal, parse, wants_help

    if wants_help(context.args):
        click.echo(help_text(_start_parser), nl=False)
        return
    config = load()
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    values, parameters = parse(config, context.args, _start_parser())
    if values.detach and not values.motoko_detached:
        _detach(config, values.run_name, context.args, context.obj.verbose)
        return
    from motoko.workflow import Workflow

    log_to_terminal(context.obj.verbose)
    if values.retry_failed:
        _retry_failed(config, values.run_name)
    workflow = Workflow(config.path)
    workflow.run_name = values.run_name
    try:
        workflow.execute(**parameters)
    finally:
        workflow._close()


def _start_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="motoko orchestrator start",
        description=_START_HELP,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_name", "-n", required=True, help="names this execution's runs")
    parser.add_argument("--detach", "-d", action="store_true", help="run in the background")
    parser.add_argument(
        "--retry-failed", action="store_true", help="first, have its failed runs executed again"
    )
    parser.add_argument("--wait", help=argparse.SUPPRESS)  # 0.1.4's poll interval: nothing polls
    parser.add_argument(_DETACHED, action="store_true", help=argparse.SUPPRESS)
    return parser


def _retry_failed(config: WorkflowConfig, run_name: str) -> None:
    from motoko.cli.retry import retry_runs
    from motoko.constraints import quote

    retry_runs(config, "all", (f"runs.run_name = {quote(run_name)}",))


def _detach(config: WorkflowConfig, run_name: str, arguments: list[str], verbose: bool) -> None:
    """Start the orchestrator in the background, and see that it has started."""
    runtime = control.records(config)
    log = runtime.log(f"orchestrator:{run_name}")
    log.parent.mkdir(parents=True, exist_ok=True)
    options = ["--verbose"] if verbose else []
    with open(log, "ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "motoko", *options),
                *("orchestrator", "start", _DETACHED, *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + STARTED_S
    while process.poll() is None and time.monotonic() < deadline:
        if any(who.pid == process.pid for _, who in living_orchestrators(control.records(config))):
            break
        time.sleep(control.POLL_S)
    if process.poll():
        with open(log, "rb") as written:
            written.seek(begin)
            text = written.read().decode(errors="replace").rstrip()
        error = MotokoError(
            f"orchestrator {run_name} has ended with exit code {process.returncode}:\n{text}",
            hint=f"its log is {log}",
        )
        error.exit_code = process.returncode if process.returncode > 0 else 1
        raise error
    click.echo(f"orchestrator {run_name} started (pid {process.pid}), log: {log}")


@command.command()
def stop() -> None:
    """Stop the workflow's orchestrators on this host. Runs go on.

    They are told to end, and killed if they do not. Started again with the same run_name, they go
    on where they were.
    """
    from motoko.stopping import gone

    found = False
    for run_name, identity in living_orchestrators(control.records(load())):
        found = True
        if not identity.is_here:
            click.echo(f"{run_name} runs on {identity.host}: stop it there (pid {identity.pid})")
        elif identity.signal(signal.SIGTERM):
            if not gone([identity], STOPPED_S) and identity.signal(signal.SIGKILL):
                gone([identity], STOPPED_S)
            click.echo(f"stopped {run_name} (pid {identity.pid})")
    if not found:
        click.echo("no orchestrator is running")


@command.command()
@click.option("--logs", "-l", is_flag=True, help="Show the logs of detached orchestrators.")
@click.option("--follow", "-f", is_flag=True, help="Show the logs, and follow them.")
def status(logs: bool, follow: bool) -> None:
    """Show the workflow's orchestrators, and the logs of those started with --detach.

    \b
    Examples:
      motoko orchestrator status
      motoko orchestrator status --logs
      motoko orchestrator status --follow
    """
    runtime = control.records(load())
    running = list(living_orchestrators(runtime))
    for run_name, identity in running:
        click.echo(f"{run_name}: running, pid {identity.pid} on {identity.host}")
    if not running:
        click.echo("no orchestrator is running")
    files: list[Path] = sorted((runtime.wf / "log").glob("orchestrator-*.log"))
    if (logs or follow) and files:
        following = ["-F"] if follow else []
        subprocess.run(["tail", *following, "-n", "100", "--", *files], check=False)
