"""Where a run stands, and why it is not running. Pure logic."""

from __future__ import annotations

from dataclasses import dataclass

from motoko.host.durations import since
from motoko.reports import causes, particulars
from motoko.reports.causes import Cause
from motoko.reports.run_facts import RUNNING, WAITING, Facts
from motoko.runs.references import described
from motoko.runs.states import FAILED_STATES, FINISHED, LAUNCHED


@dataclass(frozen=True)
class Explanation:
    """What `motoko explain` shows of a run: a line, the causes, and particulars."""

    status: str
    summary: str
    causes: tuple[Cause, ...]
    details: tuple[tuple[str, str], ...]


def explain(facts: Facts) -> Explanation:
    """Explain where a run stands."""
    match facts.status:
        case status if status == WAITING:
            reasons = tuple(causes.why_waiting(facts))
            summary = "it waits"
            if facts.state == LAUNCHED:
                summary = "it was prepared, and waits to be started"
            if facts.job is not None and facts.job.followed:
                summary = f"it waits in {facts.job.system}"
            details = particulars.waiting(facts)
        case status if status == RUNNING:
            reasons = tuple(causes.troubles(facts))
            summary, details = _how_it_runs(facts), particulars.running(facts)
        case status:
            reasons = tuple(causes.after_the_end(facts))
            summary, details = _how_it_ended(facts), particulars.ended(facts)
    return Explanation(
        status,
        f"{described(facts.name, facts.parameters)} is {facts.state}: {summary}",
        reasons,
        (*particulars.common(facts), *details),
    )


def _how_it_runs(facts: Facts) -> str:
    if not facts.is_here:
        return f"it runs on {facts.entries.get('machine_name')}, and cannot be seen from here"
    start = facts.execution.claimed
    if facts.job is not None and facts.job.followed:
        where = f" on {facts.job.nodes}" if facts.job.nodes else ""
        when = f", since {since(start, facts.now)}" if start is not None else ""
        return f"it runs as job {facts.job.id}{where}{when}"
    if facts.execution.elsewhere:
        return f"it runs on {facts.execution.elsewhere}, as far as can be told from here"
    if not facts.execution.processes:
        return "it was running"
    return f"it runs, since {since(start, facts.now)}" if start is not None else "it runs"


def _how_it_ended(facts: Facts) -> str:
    if facts.state == FINISHED:
        return "it has finished"
    if facts.state in FAILED_STATES:
        return facts.own.failure_reason or "it says that it failed"
    ended = facts.own.ended_state
    return f"a state of your own; it was {ended}" if ended else "a state of your own"
