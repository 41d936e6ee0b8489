"""``motoko orchestrator``: start, stop or show orchestrators."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

import click

from motoko import control
from motoko.config import load
from motoko.runtime import Runtime, living_orchestrators

_START_HELP = """\
Run the workflow's orchestrator in this terminal.

Its studies have to be supervised (`motoko supervise`). Restarted with the same run_name, it goes
on where it was: finished runs are found again, not run again.
"""


@click.group()
def command() -> None:
    """Start, stop or show orchestrators."""


@command.command(
    add_help_option=False,  # argparse's shows the workflow's own options too
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def start(context: click.Context) -> None:
    """Run the orchestrator (see `motoko orchestrator start --help`)."""
    from motoko.cli.arguments import log_to_terminal, parse

    config = load()
    parser = argparse.ArgumentParser(
        prog="motoko orchestrator start",
        description=_START_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_name", "-n", required=True, help="names this execution's runs")
    parser.add_argument("--detach", "-d", action="store_true", help="run in the background")
    parser.add_argument("--wait", help=argparse.SUPPRESS)  # 0.1.4's poll interval: nothing polls
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    values, parameters = parse(config, context.args, parser)
    if values.detach:
        _detach(control.records(config), values.run_name, context.args)
        return
    from motoko.workflow import Workflow

    log_to_terminal(context.obj.verbose)
    workflow = Workflow(config.path)
    workflow.run_name = values.run_name
    try:
        workflow.execute(**parameters)
    finally:
        workflow._close()


def _detach(runtime: Runtime, run_name: str, arguments: list[str]) -> None:
    log = runtime.log(f"orchestrator:{run_name}")
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = [each for each in arguments if each not in ("--detach", "-d")]
    with open(log, "a") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "motoko", "orchestrator", "start", *kept],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    click.echo(f"orchestrator {run_name} started (pid {process.pid}), log: {log}")


@command.command()
def stop() -> None:
    """Stop the workflow's orchestrators on this host. Runs go on."""
    runtime = control.records(load())
    found = False
    for run_name, identity in living_orchestrators(runtime):
        if identity.signal(signal.SIGTERM):
            found = True
            click.echo(f"stopped {run_name} (pid {identity.pid})")
    if not found:
        click.echo("no orchestrator is running")


@command.command()
@click.option("--logs", "-l", is_flag=True, help="Show the logs of detached orchestrators.")
@click.option("--follow", "-f", is_flag=True, help="Show the logs, and follow them.")
def status(logs: bool, follow: bool) -> None:
    """Show the workflow's orchestrators."""
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
