"""What a study's runs are at, counted: from their entries, in one pass. Pure logic."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from motoko.job_facts import is_followed
from motoko.states import FAILED_STATES, FINISHED, RUNNING_STATES, WAITING_STATES

COLUMNS = ("created", "running", "finished", "failed")


def column(state: str) -> str:
    """Where a run in this state is counted: one of ``COLUMNS``, or a user's own state itself."""
    if state in WAITING_STATES:
        return "created"
    if state in RUNNING_STATES:
        return "running"
    if state in FAILED_STATES:
        return "failed"
    return "finished" if state == FINISHED else state


@dataclass(frozen=True)
class RunRow:
    """One run, as ``motoko info`` shows it."""

    id: int
    state: str
    run_name: str | None
    event_name: str | None
    job_id: int | None
    attempt: int | None
    exit_code: int | None
    reason: str | None
    run_path: str | None
    started: float | None  # seconds since 1970
    seconds: float | None  # how long it ran, or runs
    batch_job_id: str | None = None
    batch_state: str | None = None
    batch_nodes: str | None = None


@dataclass
class Overview:
    """What a study's runs are at.

    Attributes:
        states: how many runs are in which state.
        jobs: the jobs of the runs that were added.
        rows: the runs that were to be kept.
        failures: those that have failed, or have a reason why they had.
        batch: those that are jobs of a batch system now.
    """

    study: str
    states: Counter[str] = field(default_factory=Counter)
    jobs: set[int] = field(default_factory=set)
    rows: list[RunRow] = field(default_factory=list)
    failures: list[RunRow] = field(default_factory=list)
    batch: list[RunRow] = field(default_factory=list)
    _times: list[tuple[float, int]] = field(default_factory=list)

    def add(
        self, entries: Mapping[str, Any], ended: float | None, now: float, *, keep: bool
    ) -> None:
        """Count a run; ``ended`` is when it ended, if that is known."""
        state = str(entries.get("state"))
        self.states[state] += 1
        self.jobs.add(entries["job_id"])
        where = column(state)
        start = started(entries)
        seconds = None
        if start is not None and where != "created":
            until = now if where == "running" else ended
            seconds = until - start if until is not None and until >= start else None
        if seconds is not None and where not in ("running", "failed"):
            self._times.append((seconds, entries["id"]))
        failed = where == "failed" or bool(entries.get("failure_reason"))
        if keep or failed or is_followed(entries):
            row = _row(entries, state, start, seconds)
            if keep:
                self.rows.append(row)
            if failed:
                self.failures.append(row)
            if is_followed(entries):
                self.batch.append(row)

    @property
    def runs(self) -> int:
        """How many runs were added."""
        return self.states.total()

    @property
    def columns(self) -> Counter[str]:
        """How many runs are counted where: see :func:`column`."""
        counts: Counter[str] = Counter(dict.fromkeys(COLUMNS, 0))
        for state, count in self.states.items():
            counts[column(state)] += count
        return counts

    @property
    def timed(self) -> int:
        """Of how many runs that have ended well the time is known."""
        return len(self._times)

    @property
    def median(self) -> float | None:
        """The median of their times in seconds."""
        return statistics.median(time for time, _ in self._times) if self._times else None

    @property
    def longest(self) -> tuple[float, int] | None:
        """The longest of their times in seconds, and whose it is."""
        return max(self._times, default=None)


def started(entries: Mapping[str, Any]) -> float | None:
    """When a run said that it starts (seconds since 1970), if it did."""
    start = entries.get("start_time")
    return start.timestamp() if isinstance(start, datetime) else None


def _row(
    entries: Mapping[str, Any], state: str, start: float | None, seconds: float | None
) -> RunRow:
    return RunRow(
        id=entries["id"],
        state=state,
        run_name=entries.get("run_name"),
        event_name=entries.get("event_name"),
        job_id=entries.get("job_id"),
        attempt=entries.get("attempt"),
        exit_code=entries.get("exit_code"),
        reason=entries.get("failure_reason"),
        run_path=entries.get("run_path"),
        started=start,
        seconds=seconds,
        **{name: entries.get(name) for name in ("batch_job_id", "batch_state", "batch_nodes")},
    )
