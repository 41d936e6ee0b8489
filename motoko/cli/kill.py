"""``motoko kill``: stop the workflow, with its launchers and their local runs."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from motoko.cli.consent import ask
from motoko.cli.selecting import ALL, chosen, study_option
from motoko.cli.taken_config import load_or_taken
from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.config.daemon_kinds import LAUNCHER
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.daemon_records import living_orchestrators
from motoko.control.detached_requests import not_wanted
from motoko.errors import CannotRemove, MotokoError, NotStopped
from motoko.host.durations import counted
from motoko.host.identity import gone
from motoko.host.terminal import is_on_terminal
from motoko.operations import draining
from motoko.runs.paths import runs_directory

if TYPE_CHECKING:
    from motoko.store.study_database import Contents

ANSWER_S = 5.0
# Orchestrators that wait for something are told that the workflow stops, and exit by themselves.
ORCHESTRATORS_S = 5.0


@click.command(short_help="Stop the workflow: daemons, launchers and local runs.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option(
    "--now",
    "--yes",
    "-y",
    "now",
    is_flag=True,
    help="Ask nothing, and end the runs that are running.",
)
@click.option("--wait", is_flag=True, help="Let the runs that are running end first.")
@click.option("--cancel-jobs", is_flag=True, help="Cancel the runs that are batch jobs, too.")
@study_option("Only this study's launcher, local runs and server; the others go on.")
@click.option("--reset", is_flag=True, help="Remove the databases and run directories as well.")
@click.option("--aggressive", is_flag=True, hidden=True)  # 0.1.4's option; it is always done now
@click.option("--verbose", is_flag=True, help="Show every signal that is sent.")
def command(
    directory: Path | None,
    now: bool,
    wait: bool,
    cancel_jobs: bool,
    bd_study: str,
    reset: bool,
    aggressive: bool,
    verbose: bool,
) -> None:
    """Stop the workflow: its supervisor, its daemons and the runs they started here.

    The runs are interrupted: they are CREATED again, and the next start executes them, which does
    not count as a retry (with `interrupted: fail` in motoko.yaml they become FAILED). Runs that are
    jobs of a batch system go on, and are found again by the next `motoko supervise`; with
    --cancel-jobs they are cancelled. On a terminal the command asks first if local runs are
    running. Frozen or orphaned daemons are stopped as well, and so are servers and launch daemons
    that BlackDynamite or motoko 0.1.4 has started here. With --wait no more runs are started, and
    the workflow is stopped when no run is running any more; if you press Ctrl-C meanwhile,
    everything goes on.

    With --bd_study only that study's daemons and runs are stopped, until `motoko supervise` or
    `motoko launcher` is called again. With --reset the studies' databases and run directories are
    removed afterwards, and .wf if all studies are reset; on a terminal the command says what would
    be lost, and asks. `motoko create` makes empty databases.

    \b
    Examples:
      motoko kill
      motoko kill --wait
      motoko kill --bd_study mult
      motoko kill --cancel-jobs
      motoko kill --reset --now ~/old-workflow
    """
    if now and wait:
        raise click.UsageError("--now ends the runs, and --wait lets them end: choose one")
    config = load(directory) if reset else load_or_taken(directory)
    daemon_records.refuse_guests(config)
    studies = chosen(config, bd_study)
    asking = not now and is_on_terminal()
    lost: dict[str, str] = {}
    if reset:
        lost = _contents(studies)
        if asking and lost:
            click.echo(f"{config.path}: these would be lost:\n{_described(lost)}", err=True)
            ask("Stop what is running, and remove them?")
    if wait:
        study = None if bd_study == ALL else studies[0].name
        draining.let_runs_end(config, study, partial(click.echo, err=True))
    elif asking and not reset:
        _confirm(config, None if bd_study == ALL else studies[0].name)
    if cancel_jobs:
        _cancel_jobs(config, studies, None if bd_study == ALL else studies[0].name)
    running = _running(config, None if bd_study == ALL else studies[0].name)
    stopped = _stop(config, None if bd_study == ALL else studies[0], verbose)
    stopped = _stop_foreign(config, None if bd_study == ALL else studies, verbose) or stopped
    if not stopped and not reset:
        click.echo("nothing is running")
    if not reset and any(running.values()):
        from motoko.cli.render.run_changes import show_interrupted

        show_interrupted(config, running)
    if reset:
        _reset(config, studies, everything=bd_study == ALL)
        click.echo(f"removed:\n{_described(lost)}" if lost else "there was nothing to remove")


def _stop_foreign(config: WorkflowConfig, studies: list[StudyConfig] | None, verbose: bool) -> bool:
    """Stop BlackDynamite's daemons of some studies, or of all; returns whether there were any."""
    from motoko.operations import stopping
    from motoko.store.blackdynamite_daemons import foreign_daemons

    daemons = foreign_daemons(config, studies)
    stopping.end_foreign(daemons, click.echo, click.echo if verbose else stopping.ignore)
    return bool(daemons)


def _stop(config: WorkflowConfig, study: StudyConfig | None, verbose: bool) -> bool:
    """Stop a study's daemons, or all daemons; returns whether there were any."""
    from motoko.operations import stopping

    detail = click.echo if verbose else stopping.ignore
    if study is not None:
        return stopping.stop_study(config, study.name, click.echo, detail)
    if not client.is_supervised(config) and not daemon_records.living_daemons(
        daemon_records.records(config)
    ):
        supervisor_lock.refuse_elsewhere(config)
        daemon_records.leave_to_blackdynamite(config, daemon_records.records(config))
        not_wanted(daemon_records.records(config))  # the next supervisor does not start them either
        return False
    stopping.stop(config, click.echo, detail)
    return True


def _confirm(config: WorkflowConfig, study: str | None = None) -> None:
    """Ask for consent if local runs (of a study, or of all studies) are running."""
    if running := sum(_running(config, study).values()):
        runs = "1 run is" if running == 1 else f"{running} runs are"
        ask(f"{runs} running and will be ended. Stop?")


def _running(config: WorkflowConfig, study: str | None) -> dict[str, int]:
    """How many local runs of a study, or of each study, are running."""
    status = client.supervisor_status(config, ANSWER_S)
    launchers = status.of_kind(LAUNCHER, study) if status else []
    return {launcher.subject: launcher.counts.get("running", 0) for launcher in launchers}


def _cancel_jobs(config: WorkflowConfig, studies: list[StudyConfig], study: str | None) -> None:
    """Cancel the batch jobs of some studies, and keep others from being submitted meanwhile."""
    from motoko.cli.render.run_changes import show_cancelled
    from motoko.operations.cancelled_runs import cancel_jobs

    draining.pause_launchers(config, study)
    show_cancelled(cancel_jobs(config, studies))


def _contents(studies: list[StudyConfig]) -> dict[str, str]:
    """The contents of the studies that a reset would remove, in a few words for each study."""
    lost = {}
    for study in studies:
        runs = runs_directory(study)
        if study.is_local and study.created:
            lost[study.name] = _counted(study)
        elif study.is_local and runs.exists():
            lost[study.name] = f"no database, but {runs}"
    return lost


def _counted(study: StudyConfig) -> str:
    from motoko.store.study_database import contents

    try:
        held: Contents = contents(study)
    except MotokoError as error:
        return f"a database that cannot be read ({error})"  # a reset is the cure
    return f"{counted(held.jobs, 'job')}, {counted(held.runs, 'run')}"


def _described(lost: dict[str, str]) -> str:
    return "\n".join(f"  {name}: {what}" for name, what in lost.items())


def _reset(config: WorkflowConfig, studies: list[StudyConfig], everything: bool) -> None:
    if everything:
        _await_orchestrators(config)
    doomed = [
        path
        for study in studies
        if study.is_local
        for path in (study.database.directory, runs_directory(study))
    ]
    doomed += [config.directory / ".wf"] if everything else []
    for path in doomed:
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CannotRemove(
                f"{path} cannot be removed: {error.strerror or error}",
                hint="mend that, and call it again; all is stopped",
            ) from error
    for study in studies:
        if not study.is_local:
            click.echo(f"left alone: {study.name}, which is served at {study.host}")


def _await_orchestrators(config: WorkflowConfig) -> None:
    """Let the orchestrators, which write into ``.wf``, exit; ``MotokoError`` if one does not."""
    runtime = daemon_records.records(config)
    gone([who for _, who in living_orchestrators(runtime)], ORCHESTRATORS_S)
    if living := list(living_orchestrators(runtime)):
        names = ", ".join(f"{name} (pid {who.pid} on {who.host})" for name, who in living)
        raise NotStopped(
            f"these orchestrators are still running: {names}; nothing was removed",
            hint="`motoko orchestrator stop` ends them; then call it again",
        )
