"""``motoko info``: the studies, and the states of their runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from motoko import control
from motoko.cli.jobs import last_answers
from motoko.cli.selecting import chosen, study_option
from motoko.cli.tables import show
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import MotokoError, NoSupervisor
from motoko.overview import COLUMNS, Overview, RunRow
from motoko.states import FAILED_STATES, FINISHED
from motoko.times import duration

ANSWER_S = 2.0
FAILURES_SHOWN = 20  # of a study
_COLOURS = {"running": "yellow", "finished": "green", "failed": "red"}


# Behind the first argument everything is canYouDigIt's, options included.
@click.command(
    short_help="Show the workflow's studies and the state of their runs.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--verbose", is_flag=True, help="Show every run, and the studies' daemons.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--run_name", help="Count only runs of this run_name.")
@study_option("Only this study.")
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="[- CANYOUDIGIT-ARGUMENTS...]"
)
@click.pass_context
def command(
    context: click.Context,
    verbose: bool,
    as_json: bool,
    run_name: str | None,
    bd_study: str,
    arguments: tuple[str, ...],
) -> None:
    """Show the studies of the workflow, the states of their runs, and why failed ones failed.

    A table with the jobs and runs of each study, how many runs are created, running, finished,
    failed or in states of your own, and how long the finished ones ran: the median and the
    longest, of those that have a start_time. It works with and without a supervisor, and changes
    nothing.

    Behind a lone dash, what follows are arguments of BlackDynamite's canYouDigIt, which is called
    in each study's directory. The studies have to be supervised for that.

    \b
    Examples:
      motoko info
      motoko info --verbose --bd_study mult
      motoko info --json --run_name first
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
    found, missing, errors = _collect(config, studies, run_name, keep=verbose)
    daemons = _daemons(config) if verbose else {}
    if as_json:
        click.echo(json.dumps(_as_json(config, found, missing, daemons, verbose), indent=2))
    else:
        jobs, silent = last_answers(config)
        _print(found, missing, verbose, {job: said for job, (said, _) in jobs.items()})
        if silent and any(each.batch for each, _ in found):
            click.echo(f"\nthe batch system gives no answer: {silent}")
        if verbose:
            _print_daemons(studies, daemons)
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("studies", errors)


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


def _collect(
    config: WorkflowConfig, studies: Sequence[StudyConfig], run_name: str | None, keep: bool
) -> tuple[list[tuple[Overview, int]], list[str], list[MotokoError]]:
    """What can be read of the studies, with their jobs; those not created; and what is wrong."""
    from motoko.bd.counting import overview_of
    from motoko.bd.maintenance import opened

    found, missing, errors = [], [], []
    for study in studies:
        if study.is_local and not study.created:
            missing.append(study.name)
            continue
        try:
            with opened(config, study, read_only=True) as base:
                found.append(overview_of(base, run_name, keep=keep))
        except MotokoError as error:
            errors.append(error)
    return found, missing, errors


def _as_json(
    config: WorkflowConfig,
    found: Sequence[tuple[Overview, int]],
    missing: Sequence[str],
    daemons: Mapping[str, dict[str, Any]],
    verbose: bool,
) -> dict[str, Any]:
    studies: list[dict[str, Any]] = []
    for each, jobs in found:
        longest, run = each.longest or (None, None)
        times = {"runs": each.timed, "median_s": each.median, "longest_s": longest}
        studies.append(
            {
                "study": each.study,
                "created": True,
                "jobs": jobs,
                "runs": each.runs,
                "states": dict(sorted(each.states.items())),
                "time": {**times, "longest_run": None if run is None else f"{each.study}.{run}"},
                "failures": [_run_as_json(each.study, row) for row in each.failures],
            }
        )
        if verbose:
            studies[-1]["all_runs"] = [_run_as_json(each.study, row) for row in each.rows]
    studies += [{"study": name, "created": False} for name in missing]
    more = {"daemons": list(daemons.values())} if verbose else {}
    return {"workflow": str(config.path), "studies": studies, **more}


def _run_as_json(study: str, row: RunRow) -> dict[str, Any]:
    return {"run": f"{study}.{row.id}", **asdict(row)}


def _print(
    found: Sequence[tuple[Overview, int]],
    missing: Sequence[str],
    verbose: bool,
    said: Mapping[str, str],
) -> None:
    own = sorted({name for each, _ in found for name in each.columns} - {*COLUMNS})
    counted = [*COLUMNS, *own]
    rows = []
    for each, jobs in found:
        counts = each.columns
        longest = duration(each.longest[0] if each.longest else None)
        times = (duration(each.median), longest)
        numbers = (jobs, each.runs, *(counts[name] for name in counted))
        rows.append((each.study, *map(str, numbers), *times))
    columns = ("study", "jobs", "runs", *counted, "median", "longest")
    if rows:
        show(columns, rows, right=columns[1:], styles=_COLOURS)
    for name in missing:
        click.echo(f"{name}: not created")
    for each, _ in found:
        if verbose and each.rows:
            click.echo()
            _print_runs(each.study, each.rows, said)
        elif each.batch:
            click.echo(f"{each.study}: in the batch system: {_jobs(each.batch, said)}")
    failures = [] if verbose else [each for each, _ in found if each.failures]
    for each in failures:
        click.echo()
        _print_failures(each)


def _jobs(rows: Sequence[RunRow], said: Mapping[str, str]) -> str:
    """How many jobs are in which state, in the scheduler's words."""
    states = Counter(said.get(row.batch_job_id or "") or row.batch_state or "?" for row in rows)
    return ", ".join(f"{count} {state}" for state, count in states.most_common())


def _job(row: RunRow, said: Mapping[str, str]) -> str:
    """A run's job: its number and state."""
    if row.batch_job_id is None:
        return row.batch_state or "-"
    is_over = row.state in (FINISHED, *FAILED_STATES)
    state = "" if is_over else said.get(row.batch_job_id, "")
    return f"{row.batch_job_id} {state or row.batch_state or ''}".strip()


def _print_runs(study: str, rows: Sequence[RunRow], said: Mapping[str, str]) -> None:
    columns = ["run", "run_name", "state", "attempt", "exit", "time", "created by", "reason"]
    table = [
        [
            *(f"{study}.{row.id}", _text(row.run_name), row.state, _text(row.attempt)),
            *(_text(row.exit_code), duration(row.seconds), _text(row.event_name)),
            row.reason or "",
        ]
        for row in rows
    ]
    if any(row.batch_state for row in rows):
        columns.insert(-1, "job")
        for line, row in zip(table, rows, strict=True):
            line.insert(-1, _job(row, said))
    show(
        columns,
        table,
        right=("attempt", "exit", "time"),
    )


def _print_failures(overview: Overview) -> None:
    shown = overview.failures[:FAILURES_SHOWN]
    show(
        ("run", "run_name", "state", "exit", "reason"),
        [
            (
                *(f"{overview.study}.{row.id}", _text(row.run_name), row.state),
                *(_text(row.exit_code), row.reason or "-"),
            )
            for row in shown
        ],
        right=("exit",),
        styles={"state": "red"},
    )
    if more := len(overview.failures) - len(shown):
        click.echo(f"and {more} more: motoko info --verbose --bd_study {overview.study}")


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _print_daemons(studies: Sequence[StudyConfig], daemons: Mapping[str, dict[str, Any]]) -> None:
    click.echo()
    for study in studies:
        for daemon in daemons.values():
            if daemon["name"].partition(":")[2] == study.name:
                detail = f" ({daemon['detail']})" if daemon["detail"] else ""
                pid = f", pid {daemon['pid']}" if daemon["pid"] else ""
                click.echo(f"{daemon['name']}: {daemon['state']}{pid}{detail}")
        if study.is_local and f"launcher:{study.name}" not in daemons:
            click.echo(f"launcher:{study.name}: not running (`motoko launcher` starts it)")
