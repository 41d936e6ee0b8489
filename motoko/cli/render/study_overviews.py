"""The output of `motoko info`: studies and runs, as tables and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click
import msgspec

from motoko.cli.render.tables import show_table
from motoko.config.daemon_kinds import LAUNCHER, daemon_of, subject_of
from motoko.host.durations import duration
from motoko.reports.overview import COLUMNS, Overview, RunRow
from motoko.reports.workflow_overview import WorkflowOverview
from motoko.runs.references import in_words
from motoko.runs.states import FAILED_STATES, FINISHED

FAILURES_SHOWN = 20  # of a study
_COLOURS = {"running": "yellow", "finished": "green", "failed": "red"}


def show_json(overview: WorkflowOverview, *, verbose: bool) -> None:
    """Print one JSON object."""
    studies = [_study_as_object(study, verbose) for study in overview.studies]
    studies += [{"study": name, "created": False} for name in overview.not_created]
    content: dict[str, Any] = {"workflow": overview.workflow, "studies": studies}
    if verbose:
        content["daemons"] = [msgspec.to_builtins(daemon) for daemon in overview.daemons.values()]
    click.echo(json.dumps(content, indent=2))


def show(overview: WorkflowOverview, *, verbose: bool) -> None:
    """Print the overview for people: a table, and below it notes about runs and daemons."""
    _show_studies(overview.studies)
    for name in overview.not_created:
        click.echo(f"{name}: not created")
    for study in overview.studies:
        if verbose and study.rows:
            click.echo()
            _show_runs(study.study, study.rows, overview.batch_states)
        elif study.batch:
            jobs = _job_states(study.batch, overview.batch_states)
            click.echo(f"{study.study}: in the batch system: {jobs}")
    for study in overview.studies:
        if study.outdated is not None:
            is_ours = overview.owner is None
            click.echo(str(study.outdated) if is_ours else study.outdated.fact)
    if not verbose:
        for study in overview.studies:
            if study.failures:
                click.echo()
                _show_failures(study)
    if overview.batch_silence and any(study.batch for study in overview.studies):
        click.echo(f"\nthe batch system gives no answer: {overview.batch_silence}")
    if verbose:
        _show_daemons(overview)


def _study_as_object(study: Overview, verbose: bool) -> dict[str, Any]:
    longest, run = study.longest or (None, None)
    times = {"runs": study.timed, "median_s": study.median, "longest_s": longest}
    values: dict[str, Any] = {
        "study": study.study,
        "created": True,
        "jobs": study.job_count,
        "runs": study.runs,
        "states": dict(sorted(study.states.items())),
        "time": {**times, "longest_run": None if run is None else f"{study.study}.{run}"},
        "failures": [_run_as_object(study.study, row) for row in study.failures],
    }
    if study.outdated is not None:
        outdated = study.outdated
        values["made_with_other_files"] = {"files": list(outdated.names), "runs": outdated.runs}
    if verbose:
        values["all_runs"] = [_run_as_object(study.study, row) for row in study.rows]
    return values


def _run_as_object(study: str, row: RunRow) -> dict[str, Any]:
    return {"run": f"{study}.{row.id}", **asdict(row)}


def _show_studies(studies: Sequence[Overview]) -> None:
    if not studies:
        return
    own = sorted({name for study in studies for name in study.columns} - {*COLUMNS})
    counted = [*COLUMNS, *own]
    rows = []
    for study in studies:
        counts = study.columns
        numbers = (study.job_count, study.runs, *(counts[name] for name in counted))
        longest = duration(study.longest[0] if study.longest else None)
        rows.append((study.study, *map(str, numbers), duration(study.median), longest))
    columns = ("study", "jobs", "runs", *counted, "median", "longest")
    show_table(columns, rows, right=columns[1:], styles=_COLOURS)


def _job_states(rows: Sequence[RunRow], batch_states: Mapping[str, str]) -> str:
    """How many batch jobs are in each state, in the scheduler's words."""
    states = Counter(
        batch_states.get(row.batch_job_id or "") or row.batch_state or "?" for row in rows
    )
    return ", ".join(f"{count} {state}" for state, count in states.most_common())


def _job(row: RunRow, batch_states: Mapping[str, str]) -> str:
    """A run's batch job: its number and state."""
    if row.batch_job_id is None:
        return row.batch_state or "-"
    is_over = row.state in (FINISHED, *FAILED_STATES)
    state = "" if is_over else batch_states.get(row.batch_job_id, "")
    return f"{row.batch_job_id} {state or row.batch_state or ''}".strip()


def _show_runs(study: str, rows: Sequence[RunRow], batch_states: Mapping[str, str]) -> None:
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
            line.insert(-1, _job(row, batch_states))
    show_table(columns, table, right=("attempt", "exit", "time"))


def _show_failures(study: Overview) -> None:
    show_table(
        ("run", "run_name", "state", "exit", "parameters: reason"),
        [
            (
                *(f"{study.study}.{row.id}", _text(row.run_name), row.state),
                _text(row.exit_code),
                _why(in_words(study.parameters.get(row.id, {})), row.reason),
            )
            for row in study.failures
        ],
        right=("exit",),
        styles={"state": "red"},
    )
    if study.more_failures:
        click.echo(
            f"and {study.more_failures} more: motoko info --verbose --bd_study {study.study}"
        )


def _why(parameters: str, reason: str | None) -> str:
    # Both may be long, and only a table's last column is broken into lines.
    return ": ".join(filter(None, (parameters, reason))) or "-"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _show_daemons(overview: WorkflowOverview) -> None:
    click.echo()
    for study in overview.chosen:
        for daemon in overview.daemons.values():
            if subject_of(daemon.name) == study.name:
                detail = f" ({daemon.detail})" if daemon.detail else ""
                pid = f", pid {daemon.pid}" if daemon.pid else ""
                click.echo(f"{daemon.name}: {daemon.state}{pid}{detail}")
        launcher = daemon_of(LAUNCHER, study.name)
        if study.is_local and launcher not in overview.daemons:
            click.echo(f"{launcher}: not running (`motoko launcher` starts it)")
