"""The output of `motoko explain`, for people and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import click

from motoko.reports.causes import Cause
from motoko.reports.explanation import Explanation
from motoko.reports.run_facts import ENDED, Facts
from motoko.runs.run_times import started
from motoko.runs.states import FAILED_STATES

_KEPT = (*("run_name", "event_name", "job_id", "machine_name", "nproc", "run_path"),)
_OWN = (
    *("attempt", "interruptions", "retry_at", "last_failure"),
    *("exit_code", "failure_reason", "ended_state"),
    *("batch_system", "batch_job_id", "batch_state", "batch_nodes", "batch_name"),
)


def show(facts: Facts, explanation: Explanation) -> None:
    """Print the explanation for people."""
    for line in lines(facts, explanation):
        click.echo(line)


def lines(facts: Facts, explanation: Explanation) -> Iterator[str]:
    """The explanation for people, line by line."""
    yield explanation.summary
    to_do = "to do" if facts.owner is None else f"for {facts.owner} to do"
    for cause in explanation.causes:
        yield f"- {cause.text}"
        for line in cause.more:
            yield f"    {line}"
        if cause.do:
            yield f"    {to_do}: {cause.do}"
    width = max(len(label) for label, _ in explanation.details)
    yield ""
    before = ""
    for label, text in explanation.details:
        yield f"{label if label != before else '':{width}}  {text}"
        before = label
    if explanation.status == ENDED and facts.state in FAILED_STATES and facts.stderr:
        yield ""
        yield "end of its stderr:"
        for line in facts.stderr.splitlines():
            yield f"    {line}"


def show_json(facts: Facts, explanation: Explanation) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(_as_object(facts, explanation), indent=2, default=str))


def _start_time(facts: Facts) -> str | None:
    start = started(facts.entries, facts.policy.environment if facts.policy else None)
    return None if start is None else start.isoformat()


def _as_object(facts: Facts, explanation: Explanation) -> dict[str, Any]:
    entries, execution, slots = facts.entries, facts.execution, facts.slots
    limit = facts.policy.timeout if facts.policy else None
    left = None
    if limit is not None and execution.claimed is not None and execution.processes:
        left = execution.claimed + limit - facts.now
    return {
        "run": facts.name,
        "study": facts.study,
        "run_id": facts.run_id,
        "state": facts.state,
        "parameters": dict(facts.parameters),
        "status": explanation.status,
        "summary": explanation.summary,
        "causes": [_cause(cause) for cause in explanation.causes],
        **{name: entries.get(name) for name in _KEPT},
        "start_time": _start_time(facts),
        **{name: facts.own.get(name) for name in _OWN},
        "attempts_allowed": facts.policy.retries + 1 + (facts.own.interruptions or 0)
        if facts.policy
        else None,
        "changed": facts.changed,
        "started": execution.claimed,
        "ended": execution.ended,
        "dead_attempts": [dataclasses.asdict(dead) for dead in facts.dead],
        "pid": execution.wrapper,
        "processes": execution.processes,
        "host": facts.host if execution.processes else None,
        "time_limit_s": limit,
        "time_left_s": left,
        "last_line": facts.last_line or None,
        "stderr": facts.stderr,
        "outputs": [str(path) for path in facts.outputs],
        "awaited_by": list(facts.awaited_by),
        "slots": slots
        and {
            "count": slots.count,
            "free": slots.free,
            "holders": [vars(holder) for holder in slots.holders],
            "queue": list(slots.queue),
            "before": list(slots.before),
        },
        "supervisor": facts.supervisor.state,
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {"code": cause.code, "text": cause.text, "do": cause.do, "more": list(cause.more)}
