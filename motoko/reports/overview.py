"""Counts of a study's runs by state, with times and failures, from their entries. Pure logic."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motoko.runs.entries import OwnEntries
from motoko.runs.outdated import Outdated
from motoko.runs.run_times import started
from motoko.runs.states import (
    FAILED_STATES,
    FINISHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)

ALL_FAILURES = sys.maxsize
COLUMNS = ("created", "running", "finished", "failed")


def column(state: str) -> str:
    """The column that counts runs in a state: one of ``COLUMNS``, or a user's own state itself."""
    if state in WAITING_STATES:
        return "created"
    if state in RUNNING_STATES:
        return "running"
    if state in FAILED_STATES:
        return "failed"
    return "finished" if state == FINISHED else state


def progress_column(state: str) -> str:
    """As :func:`column`, but always one of ``COLUMNS``: users' own states count as finished."""
    where = column(state)
    return where if where in COLUMNS else "finished"


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
    """The states, times and failures of a study's runs.

    Attributes:
        states: how many runs are in each state.
        job_count: how many jobs the study has, or these runs have.
        rows: the runs that were noted with ``keep``.
        failures: the runs that have failed, or that have the reason of an earlier failure: the
            first of them.
        more_failures: how many more such runs there are.
        parameters: the parameters of these runs by the runs' ids, if they were asked for.
        batch: the runs that are jobs of a batch system now.
        outdated: the finished runs that were made with other files than the present ones.
        environment: the variables that are set for the study's runs.
        longest: the longest time in seconds of a run that has ended well, and the run's id.
    """

    study: str
    states: Counter[str] = field(default_factory=Counter)
    job_count: int = 0
    rows: list[RunRow] = field(default_factory=list)
    failures: list[RunRow] = field(default_factory=list)
    more_failures: int = 0
    parameters: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    batch: list[RunRow] = field(default_factory=list)
    outdated: Outdated | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    longest: tuple[float, int] | None = None
    _milliseconds: list[int] = field(default_factory=list)

    def add(
        self,
        entries: Mapping[str, Any],
        directory: Path | None,
        ended: float | None,
        now: float,
        *,
        keep: bool,
    ) -> None:
        """Note how long a run took, and whether it has failed. It must be counted already.

        Args:
            entries: the run's entries.
            directory: the directory in which it is executed, if it was started.
            ended: when it ended (seconds since 1970), if that is known.
            now: the present time (seconds since 1970).
            keep: whether to keep it among :attr:`rows`.
        """
        state = state_of(entries)
        where = column(state)
        moment = started(entries, self.environment)
        start = None if moment is None else moment.timestamp()
        seconds = None
        if start is not None and where != "created":
            until = now if where == "running" else ended
            seconds = until - start if until is not None and until >= start else None
        if seconds is not None and where not in ("running", "failed"):
            self.add_times([round(seconds * 1000)], entries["id"])
        own = OwnEntries(entries)
        # An earlier attempt, or another version, may have left a reason.
        failed = where == "failed" or (where != "finished" and bool(own.failure_reason))
        if keep or failed or own.is_job:
            row = _row(entries, directory, state, start, seconds)
            if keep:
                self.rows.append(row)
            if failed:
                self.failures.append(row)
            if own.is_job:
                self.batch.append(row)

    def add_times(self, milliseconds: list[int], longest: int | None) -> None:
        """Note the times of runs that have ended well, and the run that took longest.

        Args:
            milliseconds: the times.
            longest: that run's id; ``None`` if there are no times.
        """
        self._milliseconds += milliseconds
        if longest is not None:
            seconds = max(milliseconds) / 1000
            self.longest = max(self.longest or (-1.0, 0), (seconds, longest))

    def show_failures(self, most: int) -> None:
        """Keep only the first failures, by the runs' ids."""
        self.failures.sort(key=lambda row: row.id)
        self.more_failures += len(self.failures[most:])
        del self.failures[most:]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.states.total()

    @property
    def columns(self) -> Counter[str]:
        """How many runs each column counts: see :func:`column`."""
        counts: Counter[str] = Counter(dict.fromkeys(COLUMNS, 0))
        for state, count in self.states.items():
            counts[column(state)] += count
        return counts

    @property
    def timed(self) -> int:
        """For how many of the runs that have ended well the time is known."""
        return len(self._milliseconds)

    @property
    def median(self) -> float | None:
        """The median time in seconds of the runs that have ended well."""
        return statistics.median(self._milliseconds) / 1000 if self._milliseconds else None


def _row(
    entries: Mapping[str, Any],
    directory: Path | None,
    state: str,
    start: float | None,
    seconds: float | None,
) -> RunRow:
    own = OwnEntries(entries)
    return RunRow(
        id=entries["id"],
        state=state,
        run_name=entries.get("run_name"),
        event_name=entries.get("event_name"),
        job_id=entries.get("job_id"),
        attempt=own.get("attempt"),
        exit_code=own.exit_code,
        reason=own.failure_reason,
        run_path=None if directory is None else str(directory),
        started=start,
        seconds=seconds,
        batch_job_id=own.batch_job_id,
        batch_state=own.batch_state,
        batch_nodes=own.batch_nodes,
    )
