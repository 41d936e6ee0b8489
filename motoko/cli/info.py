"""``motoko info``: the studies, and the states of their runs."""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from motoko import control
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import ConfigError, NoSupervisor
from motoko.runtime import locate

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--verbose", is_flag=True, help="Show every run, and why the failed ones failed.")
@click.option("--bd_study", "-bd", default="all", help="Only this study.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(verbose: bool, bd_study: str, arguments: tuple[str, ...]) -> None:
    """Show the studies of the workflow and the states of their runs.

    `motoko info - ARGUMENTS` calls `canYouDigIt ARGUMENTS` in each study instead.
    """
    config = load()
    if bd_study != "all" and bd_study not in config.studies:
        raise ConfigError(
            f"--bd_study {bd_study}: there is no such study",
            hint=f"the studies are: {', '.join(config.studies)}",
        )
    studies = [study for name, study in config.studies.items() if bd_study in ("all", name)]
    if arguments:
        _dig(config, studies, [each for each in arguments if each != "-"])
        return
    for study in studies:
        _show(config, study, verbose)


def _dig(config: WorkflowConfig, studies: list[StudyConfig], arguments: list[str]) -> None:
    if not control.is_running(config):
        raise NoSupervisor("the studies are not served", hint="run `motoko supervise --detach`")
    from motoko.cli.programs import program

    for study in studies:
        click.echo(f"--- {study.name}", err=True)
        subprocess.run([program("canYouDigIt"), *arguments], cwd=study.directory, check=False)


def _show(config: WorkflowConfig, study: StudyConfig, verbose: bool) -> None:
    if study.is_local and not study.created:
        click.echo(f"{study.name}: not created")
        return
    with _opened(config, study) as base:
        runs = base.content["Runs"].entries
        states = Counter(str(run.entries.get("state")) for run in runs.values())
        counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        jobs = len(base.content["Jobs"].entries)
        click.echo(f"{study.name}: {jobs} jobs, {len(runs)} runs{': ' * bool(counted)}{counted}")
        for number, run in runs.items():
            entries = run.entries
            reason = entries.get("failure_reason")
            if verbose or reason:
                line = f"  {study.name}.{number} {entries.get('run_name')} {entries.get('state')}"
                click.echo(f"{line}: {reason}" if reason else line)


@contextlib.contextmanager
def _opened(config: WorkflowConfig, study: StudyConfig) -> Iterator[StudyBase]:
    """A study's base: from its server if there is one, else from its file."""
    from motoko.bd.base import connect, open_file

    served = not study.is_local or control.is_running(config)
    base = connect(study, locate(config)) if served else open_file(study, read_only=True)
    try:
        yield base
    finally:
        base.close()
