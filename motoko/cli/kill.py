"""``motoko kill``: stop the workflow, with its launchers and their local runs."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from motoko import control
from motoko.cli.selecting import ALL, chosen, study_option
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.detached import not_wanted
from motoko.errors import MotokoError
from motoko.identity import Identity
from motoko.runtime import living_orchestrators

if TYPE_CHECKING:
    from motoko.bd.create import Contents

ANSWER_S = 5.0
# Orchestrators that wait for something are told of the end, and end themselves.
ORCHESTRATORS_S = 5.0
POLL_S = 0.05
WAIT_POLL_S = 0.2


@click.command(short_help="Stop the workflow: daemons, launchers and local runs.")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--now", is_flag=True, help="Ask nothing, and end the runs that are running.")
@click.option("--wait", is_flag=True, help="Let the runs that are running end first.")
@click.option("--cancel-jobs", is_flag=True, help="Cancel the runs that are batch jobs, too.")
@study_option("Only this study's launcher, local runs and server; the others go on.")
@click.option("--reset", is_flag=True, help="Remove the databases and run directories as well.")
@click.option("--verbose", is_flag=True, help="Say every signal that is sent.")
def command(
    directory: Path | None,
    now: bool,
    wait: bool,
    cancel_jobs: bool,
    bd_study: str,
    reset: bool,
    verbose: bool,
) -> None:
    """Stop the workflow: its supervisor, its daemons and the runs they started here.

    The runs become FAILED, with the reason; `motoko retry` has them executed again. Runs that are
    jobs of a batch system go on, and are found again by the next `motoko supervise`; with
    --cancel-jobs they are cancelled. On a terminal it asks first if local runs are running.
    Whatever was frozen or orphaned is stopped as well. With --wait nothing more is started, and the
    workflow is stopped when no run is running any more; Ctrl-C meanwhile, and everything goes on.

    With --bd_study only what belongs to that study is stopped, until `motoko supervise` or
    `motoko launcher` is called again. With --reset the studies' databases and run directories are
    removed afterwards, and .wf if they are all; on a terminal it says what would be lost, and
    asks. `motoko create` makes empty ones.

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
    config = load(directory)
    studies = chosen(config, bd_study)
    asking = not now and sys.stdin.isatty() and sys.stderr.isatty()
    lost: dict[str, str] = {}
    if reset:
        lost = _contents(studies)
        if asking and lost:
            click.echo(f"{config.path}: these would be lost:\n{_described(lost)}", err=True)
            click.confirm("Stop what is running, and remove them?", abort=True, err=True)
    if wait:
        _let_runs_end(config, None if bd_study == ALL else studies[0].name)
    elif asking and not reset:
        _confirm(config, None if bd_study == ALL else studies[0].name)
    if cancel_jobs:
        _cancel_jobs(config, studies, None if bd_study == ALL else studies[0].name)
    if not _stop(config, None if bd_study == ALL else studies[0], verbose) and not reset:
        click.echo("nothing is running")
    if reset:
        _reset(config, studies, everything=bd_study == ALL)
        click.echo(f"removed:\n{_described(lost)}" if lost else "there was nothing to remove")


def _stop(config: WorkflowConfig, study: StudyConfig | None, verbose: bool) -> bool:
    """Stop a study's daemons, or all; whether there were any."""
    from motoko import stopping

    detail = click.echo if verbose else stopping.ignore
    if study is not None:
        return stopping.stop_study(config, study.name, click.echo, detail)
    if not control.is_running(config) and not control.living_daemons(control.records(config)):
        control.refuse_elsewhere(config)
        not_wanted(control.records(config))  # nor are they started by the next supervisor
        return False
    stopping.stop(config, click.echo, detail)
    return True


def _confirm(config: WorkflowConfig, study: str | None = None) -> None:
    """Ask if local runs (of a study, or all) are running."""
    status = control.supervisor_status(config, ANSWER_S)
    daemons = [
        daemon
        for daemon in (status["daemons"] if status else [])
        if study is None or daemon["name"] == f"launcher:{study}"
    ]
    running = sum(daemon["counts"].get("running", 0) for daemon in daemons)
    if running:
        runs = "1 run is" if running == 1 else f"{running} runs are"
        click.confirm(f"{runs} running and will be ended. Stop?", abort=True, err=True)


def _let_runs_end(config: WorkflowConfig, study: str | None) -> None:
    """Have the launchers (of a study, or all) start nothing more, and wait for what runs."""
    paused: set[Identity] = set()
    shown = 0
    try:
        while True:
            status = control.supervisor_status(config, ANSWER_S)
            if status is None:
                if control.living_daemons(control.records(config)):
                    raise MotokoError(
                        "no supervisor answers: what runs is not known",
                        hint="`motoko supervise --detach` looks after it again",
                    )
                return
            launchers = _launchers(status, study)
            _pause(launchers, paused)
            known = [d["counts"] for d in launchers if d["state"] != "stopped"]
            running = sum(counts.get("running", 0) for counts in known)
            if all(counts.get("paused") for counts in known) and not running:
                return
            if running != shown:
                shown = running
                click.echo(f"waiting for {running} run{'s' * (running != 1)}", err=True)
            time.sleep(WAIT_POLL_S)
    except BaseException:
        for identity in paused:
            identity.signal(signal.SIGUSR2)
        click.echo("the launchers start runs again", err=True)
        raise


def _launchers(status: dict[str, Any], study: str | None) -> list[dict[str, Any]]:
    """What the supervisor says of the launchers (of a study, or all)."""
    return [
        daemon
        for daemon in status["daemons"]
        if daemon["kind"] == "launcher" and study in (None, daemon["name"].partition(":")[2])
    ]


def _pause(launchers: list[dict[str, Any]], paused: set[Identity]) -> None:
    """Have launchers start nothing more; those that were told are in ``paused``."""
    for daemon in launchers:
        identity = Identity.of(daemon["pid"]) if daemon["state"] == "ready" else None
        # One that has come back meanwhile is not paused yet.
        if identity is not None and identity not in paused:
            identity.signal(signal.SIGUSR2)
            paused.add(identity)


def _cancel_jobs(config: WorkflowConfig, studies: list[StudyConfig], study: str | None) -> None:
    """Cancel the batch jobs of some studies, and keep others from being submitted meanwhile."""
    from motoko.cli.cancel import cancel_jobs

    paused: set[Identity] = set()
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        status = control.supervisor_status(config, ANSWER_S)
        launchers = _launchers(status, study) if status is not None else []
        _pause(launchers, paused)
        known = [each["counts"] for each in launchers if each["state"] == "ready"]
        if all(counts.get("paused") for counts in known):
            break
        time.sleep(WAIT_POLL_S)
    cancel_jobs(config, studies)


def _contents(studies: list[StudyConfig]) -> dict[str, str]:
    """What a reset would remove, in a few words for each study."""
    found = {}
    for study in studies:
        runs = _run_directories(study)
        if study.is_local and study.created:
            found[study.name] = _counted(study)
        elif study.is_local and runs.exists():
            found[study.name] = f"no database, but {runs}"
    return found


def _counted(study: StudyConfig) -> str:
    import pickle

    from ZODB.POSException import POSError

    from motoko.bd.create import contents

    try:
        held: Contents = contents(study)
    except (MotokoError, OSError, POSError, KeyError, pickle.UnpicklingError, EOFError) as error:
        return f"a database that cannot be read ({error})"  # a reset is what it needs
    return f"{held.jobs} jobs, {held.runs} runs"


def _described(lost: dict[str, str]) -> str:
    return "\n".join(f"  {name}: {what}" for name, what in lost.items())


def _run_directories(study: StudyConfig) -> Path:
    return study.directory / f"BD-{study.name}-runs"


def _reset(config: WorkflowConfig, studies: list[StudyConfig], everything: bool) -> None:
    if everything:
        _await_orchestrators(config)
    doomed = [
        path
        for study in studies
        if study.is_local
        for path in (study.directory / ".bd", _run_directories(study))
    ]
    doomed += [config.directory / ".wf"] if everything else []
    for path in doomed:
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MotokoError(
                f"{path} cannot be removed: {error.strerror or error}",
                hint="mend that, and call it again; all is stopped",
            ) from error
    for study in studies:
        if not study.is_local:
            click.echo(f"left alone: {study.name}, which is served at {study.host}")


def _await_orchestrators(config: WorkflowConfig) -> None:
    """Let the orchestrators end, which write into ``.wf``; ``MotokoError`` if one does not."""
    deadline = time.monotonic() + ORCHESTRATORS_S
    runtime = control.records(config)
    while living := list(living_orchestrators(runtime)):
        if time.monotonic() > deadline:
            names = ", ".join(f"{name} (pid {who.pid} on {who.host})" for name, who in living)
            raise MotokoError(
                f"these orchestrators are still running: {names}; nothing was removed",
                hint="`motoko orchestrator stop` ends them; then call it again",
            )
        time.sleep(POLL_S)
