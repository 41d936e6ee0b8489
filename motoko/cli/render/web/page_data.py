"""What the page is told, as JSON: of the whole workflow, of some runs, of one run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from motoko.config import WorkflowConfig
from motoko.host.durations import moment
from motoko.reports.overview import COLUMNS, column
from motoko.reports.pace import left_text, rate_text
from motoko.reports.result_texts import as_text
from motoko.reports.run_pages import PagedRun, RunPage
from motoko.views.study_view import StudyView
from motoko.views.workflow_view import WorkflowView

EVENTS = 50  # the last ones


def workflow(
    view: WorkflowView,
    config: WorkflowConfig,
    now: float,
    *,
    has_control: bool,
    seen: int | None = None,
) -> dict[str, Any]:
    """All but the runs. ``seen``: how many events there were when the page was told last."""
    status = view.status
    changed = None if seen is None else view.changed_since(seen)
    return {
        "title": config.directory.name,
        "workflow": str(config.path),
        "now": moment(now),
        "notes": list(view.unknown()),
        "control": has_control,
        "columns": list(COLUMNS),
        "studies": [_study(view, study, now) for study in view.studies.values()],
        "processes": list(_processes(view)),
        "orchestrators": [
            {"run_name": one.run_name, "host": one.host, "pid": one.pid, "waiting": one.waiting}
            for one in (status.orchestrators if status is not None else [])
        ],
        "idle": "none runs"
        if view.is_supervised
        else "none; only a supervisor knows who awaits runs",
        "events": list(_events(view)),
        "changed": None if changed is None else [f"{study}.{run}" for study, run in changed],
    }


def _study(view: WorkflowView, study: StudyView, now: float) -> dict[str, Any]:
    states: Counter[str] = Counter()
    for state, count in study.states.items():
        states[column(state)] += count
    at = view.stands_at(study)
    return {
        "name": study.name,
        "runs": study.states.total(),
        "states": {name: states[name] for name in (*COLUMNS, *sorted({*states} - {*COLUMNS}))},
        "rate": rate_text(study.pace.rate(now)),
        "left": left_text(study.left(now)),
        "at": None if at is None else moment(at),
        "problem": study.problem,
        "changes": study.changes,
        "reads": study.reads,
    }


def _processes(view: WorkflowView) -> Iterator[dict[str, Any]]:
    if view.status is None:
        return
    who = view.status.supervisor
    yield {"name": "supervisor", "state": who.state, "pid": who.pid, "detail": who.host or ""}
    for daemon in view.status.daemons:
        detail = daemon.trouble or daemon.detail
        yield {"name": daemon.name, "state": daemon.state, "pid": daemon.pid, "detail": detail}


def _events(view: WorkflowView) -> Iterator[dict[str, Any]]:
    from motoko.store.tids import committed_at

    for event in islice(reversed(view.events), EVENTS):
        yield {
            "at": committed_at(event.tid).replace(tzinfo=None).isoformat(" ", "milliseconds"),
            "study": event.study,
            "run": event.run_id,
            "old": event.old or "(new)",
            "new": event.new or "(deleted)",
        }


def runs(page: RunPage) -> dict[str, Any]:
    """Some runs of a study."""
    return {
        "total": page.total,
        "first": page.first,
        "names": list(page.names),
        "runs": [_run(one) for one in page.runs],
        "tid": page.tid,
        "without": page.without,
    }


def _run(one: PagedRun) -> dict[str, Any]:
    return {
        "id": one.run_id,
        "state": one.state,
        "column": column(one.state),
        "run_name": one.run_name,
        "started": None if one.started is None else moment(one.started),
        "reason": one.reason,
        "values": [_value(value) for value in one.values],
    }


def _value(value: Any) -> Any:
    """A value as JSON has it: browsers know neither NaN nor long integers."""
    plain = as_text(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        return str(plain)
    if isinstance(plain, int) and not isinstance(plain, bool) and abs(plain) >= 2**53:
        return str(plain)
    return plain


def run(config: WorkflowConfig, study: str, run_id: int) -> dict[str, Any]:
    """One run: its explanation, and the end of its output. Blocks; raises ``MotokoError``."""
    from motoko.cli.render import explained
    from motoko.reports.explain_facts import gather
    from motoko.reports.explanation import explain
    from motoko.reports.run_facts import ENDED
    from motoko.runs.outputs import tail

    facts = gather(config, config.studies[study], run_id)
    explanation = explain(facts)
    return {
        "name": facts.name,
        "state": facts.state,
        "column": column(facts.state),
        "ended": explanation.status == ENDED,
        "explanation": "\n".join(explained.lines(facts, explanation)),
        "outputs": [
            {"name": path.name, "text": tail(path, OUTPUT_LINES)} for path in facts.outputs[-2:]
        ],
    }


OUTPUT_LINES = 200
