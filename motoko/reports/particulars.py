"""A run's particulars, as labels and texts, from facts. Pure logic."""

from __future__ import annotations

from collections.abc import Iterator

from motoko.host.durations import counted, duration, since
from motoko.reports.run_facts import WAITING, DeadAttempt, Facts
from motoko.runs.states import FAILED_STATES, FINISHED


def common(facts: Facts) -> Iterator[tuple[str, str]]:
    entries = facts.entries
    by = f", created by {entries['event_name']}" if entries.get("event_name") else ""
    yield "run_name", f"{entries.get('run_name')}{by}, job {entries.get('job_id')}"
    allowed = (facts.policy.retries if facts.policy else 0) + 1
    allowed += facts.own.interruptions or 0
    attempt = facts.own.attempt
    yield "attempt", f"{attempt} of {allowed}" if attempt <= allowed else str(attempt)
    if (reason := facts.own.last_failure) and facts.status != WAITING:
        yield "failed before", reason
    for dead in facts.dead:
        yield f"attempt {dead.attempt}", _how_it_died(dead, facts.now)
    if facts.job is not None:
        yield "job", f"{facts.job.described} ({facts.job.system})"
    if facts.not_taken:
        restart = f"motoko restart launcher:{facts.study}"
        yield "changed", f"{', '.join(facts.not_taken)}: counts after `{restart}`, or at a retry"
    for who in facts.awaited_by:
        yield "awaited by", who
    if path := entries.get("run_path"):
        yield "directory", str(path)


def _how_it_died(dead: DeadAttempt, now: float) -> str:
    declared = f"declared dead {since(dead.since, now)}: {dead.reason}"
    if dead.ended is None or dead.ended < dead.since:
        return declared
    end = since(dead.ended, now)
    return f"{declared}; it came back, was refused, and ended {end}, with exit code {dead.code}"


def waiting(facts: Facts) -> Iterator[tuple[str, str]]:
    if reason := facts.own.last_failure:
        yield "failed before", reason
    if facts.changed is not None:
        yield "last change", since(facts.changed, facts.now)
    yield from _outputs(facts)


def running(facts: Facts) -> Iterator[tuple[str, str]]:
    execution, limit = facts.execution, facts.policy.timeout if facts.policy else None
    if execution.wrapper is not None:
        many = counted(execution.processes, "process", "es")
        yield "wrapper", f"pid {execution.wrapper} on {facts.host}, {many}"
    elif execution.processes:
        yield "processes", f"{execution.processes} on {facts.host}; the wrapper is gone"
    if limit is not None and execution.claimed is not None:
        left = execution.claimed + limit - facts.now
        over = f"{duration(left)} left" if left > 0 else "it is over"
        yield "time limit", f"{duration(limit)}, {over}"
    if facts.last_line:
        yield "last line", facts.last_line
    yield from _outputs(facts)


def ended(facts: Facts) -> Iterator[tuple[str, str]]:
    execution, code = facts.execution, facts.own.exit_code
    if execution.ended is not None:
        took = ""
        if execution.claimed is not None and execution.claimed <= execution.ended:
            took = f", it took {duration(execution.ended - execution.claimed)}"
        yield "ended", since(execution.ended, facts.now) + took
    elif facts.changed is not None:
        yield "last change", since(facts.changed, facts.now)
    if code is not None:
        yield "exit code", str(code)
    if facts.policy is not None and facts.own.ended_state == FINISHED:
        for name in facts.policy.results:
            yield "result", f"{name} = {facts.entries.get(name.lower())}"
    if facts.state not in (FINISHED, *FAILED_STATES) and (reason := facts.own.failure_reason):
        yield "reason", reason
    yield from _outputs(facts)


def _outputs(facts: Facts) -> Iterator[tuple[str, str]]:
    for path in facts.outputs:
        yield "output", str(path)
