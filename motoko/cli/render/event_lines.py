"""The line that `motoko events` prints for an event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from motoko.bus.messages import Transition
from motoko.runs.references import described


def as_text(event: Transition, parameters: Mapping[str, Any]) -> str:
    """For people: the event's local time, the run with its parameters, and its change of state."""
    from motoko.store.tids import committed_at

    when = committed_at(event.tid).replace(tzinfo=None).isoformat(" ", "milliseconds")
    change = f"{event.old or '(new)'} -> {event.new or '(deleted)'}"
    run_name = f"  ({event.run_name})" if event.run_name else ""
    run = described(f"{event.study}.{event.run_id}", parameters)
    return f"{when}  {run}  {change}{run_name}"


def as_json(event: Transition) -> str:
    """For programs: a JSON object; the time is local, with its offset from UTC."""
    from motoko.store.tids import committed_at

    return json.dumps(
        {
            "study": event.study,
            "run_id": event.run_id,
            "old": event.old,
            "new": event.new,
            "tid": event.tid,
            "time": committed_at(event.tid).isoformat(),
            "run_name": event.run_name,
            "job_id": event.job_id,
            "event_name": event.event_name,
        }
    )
