"""``motoko info``: the studies, and the states of their runs."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from motoko import control
from motoko.cli.selecting import chosen, study_option
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import NoSupervisor

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase

ANSWER_S = 2.0


# Behind the first argument everything is canYouDigIt's, options included.
@click.command(
    short_help="Show the studies and the states of their runs.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--verbose", is_flag=True, help="Show every run, and the studies' daemons.")
@study_option("Only this study.")
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="[- CANYOUDIGIT-ARGUMENTS...]"
)
@click.pass_context
def command(
    context: click.Context, verbose: bool, bd_study: str, arguments: tuple[str, ...]
) -> None:
    """Show the studies of the workflow, the states of their runs, and why failed ones failed.

    It works with and without a supervisor, and changes nothing.

    Behind a lone dash, what follows are arguments of BlackDynamite's canYouDigIt, which is called
    in each study's directory. The studies have to be supervised for that.

    \b
    Examples:
      motoko info
      motoko info --verbose --bd_study mult
      motoko info - runs info
      motoko info --bd_study mult - jobs info --job_id 1
      motoko info - runs info --constraints "state = FAILED"
    """
    config = load()
    studies = chosen(config, bd_study)
    if arguments:
        if arguments[0] != "-":
            raise click.UsageError(
                "canYouDigIt's arguments stand behind a lone dash: "
                f"motoko info - {' '.join(arguments)}"
            )
        code = _dig(config, studies, list(arguments[1:]))
        context.exit(code)
    daemons = _daemons(config) if verbose else {}
    for study in studies:
        _show(config, study, verbose)
        for daemon in daemons.values():
            if daemon["name"].partition(":")[2] == study.name:
                detail = f" ({daemon['detail']})" if daemon["detail"] else ""
                pid = f", pid {daemon['pid']}" if daemon["pid"] else ""
                click.echo(f"  {daemon['name']}: {daemon['state']}{pid}{detail}")
        if verbose and study.is_local and f"launcher:{study.name}" not in daemons:
            click.echo(f"  launcher:{study.name}: not running (`motoko launcher` starts it)")


def _dig(config: WorkflowConfig, studies: list[StudyConfig], arguments: list[str]) -> int:
    """Call canYouDigIt in each study; the first exit code that is not 0."""
    from motoko.cli.programs import program

    for study in studies:
        _require_server(config, study)
    # Variables that would make it talk to another base than the one in its directory.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BLACKDYNAMITE_")}
    codes = []
    for study in studies:
        click.echo(f"{'*' * 30}\nTaskManager: {study.name}\n{'*' * 30}", err=True)
        done = subprocess.run(
            [program("canYouDigIt"), *arguments], cwd=study.directory, env=environment, check=False
        )
        codes.append(done.returncode)
    return next((code for code in codes if code), 0)


def _require_server(config: WorkflowConfig, study: StudyConfig) -> None:
    # canYouDigIt itself would start a server of its own if it finds none.
    if not study.is_local:
        return
    name = f"zeo:{study.name}"
    if all(daemon.name != name for daemon in control.living_daemons(control.records(config))):
        raise NoSupervisor(
            f"study {study.name} is not served, and canYouDigIt needs its server",
            hint=f"run `motoko supervise --detach`, or plain `motoko info` (in {config.directory})",
        )


def _daemons(config: WorkflowConfig) -> dict[str, dict[str, Any]]:
    """The daemons by name; without a supervisor that answers, those that live."""
    status = control.supervisor_status(config, ANSWER_S)
    if status is not None:
        return {daemon["name"]: daemon for daemon in status["daemons"]}
    living = control.living_daemons(control.records(config))
    return {
        d.name: {"name": d.name, "state": "not supervised", "pid": d.identity.pid, "detail": ""}
        for d in living
    }


def _show(config: WorkflowConfig, study: StudyConfig, verbose: bool) -> None:
    from motoko.bd.maintenance import opened

    if study.is_local and not study.created:
        click.echo(f"{study.name}: not created")
        return
    with opened(config, study, read_only=True) as base:
        _show_base(base, verbose)


def _show_base(base: StudyBase, verbose: bool) -> None:
    name = base.study.name
    runs = list(base.all_runs())
    states = Counter(str(run.entries.get("state")) for run in runs)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    jobs = len(base.content["Jobs"].entries)
    click.echo(f"{name}: {jobs} jobs, {len(runs)} runs{': ' * bool(counted)}{counted}")
    for run in runs:
        entries = run.entries
        reason = entries.get("failure_reason")
        if verbose or reason:
            line = f"  {name}.{entries['id']} {entries.get('run_name')} {entries.get('state')}"
            if verbose and entries.get("event_name"):
                line += f" (created by {entries['event_name']})"
            click.echo(f"{line}: {reason}" if reason else line)
