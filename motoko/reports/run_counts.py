"""The overview of a study's runs, from its mirror: SQL counts most runs without reading them."""

from __future__ import annotations

import json
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_tables import RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import parts
from motoko.mirror.run_numbers import numbers
from motoko.mirror.scalars import PLAIN, TIME, LeftOut, can_be_stored
from motoko.reports.base_reading import reading_base
from motoko.reports.mirrored_parameters import parameters
from motoko.reports.overview import ALL_FAILURES, Overview
from motoko.runs.entry_table import OWN, PREFIX
from motoko.runs.outdated import Outdated
from motoko.runs.paths import present_directory
from motoko.runs.run_times import ended_at
from motoko.runs.states import FAILED_STATES, FINISHED, UNENDED_STATES

log = logging.getLogger(__name__)

_MARK = f"{PREFIX}attempt"
_READ = (
    *("id", "state", "run_name", "event_name", "job_id", "run_path", "start_time"),
    *(name for own in OWN for name in (PREFIX + own, own)),
)
_NO_RESULT = (*UNENDED_STATES, *FAILED_STATES)
# The time of a run's last attempt: its start is stored as a text, its end in seconds since 1970.
_SECONDS = "({ended} - (julianday({started}) - 2440587.5) * 86400.0)"
_ANY = "1"
FEW = 20_000  # the ids of this many runs may stand in a query
_ENDED_MAX, _BEYOND = 10**14, 1 << 60  # no run takes this many milliseconds


def overview_of(
    config: WorkflowConfig,
    study: StudyConfig,
    run_name: str | None,
    *,
    keep: bool,
    failures_max: int = ALL_FAILURES,
) -> Overview:
    """The overview of the runs of a run_name and their jobs, or of all runs and jobs.

    With ``keep`` every run is kept, and not only those that have failed; of these only the first
    ``failures_max``, and if that is given, with their parameters. Raises what
    :func:`motoko.mirror.current_mirror.current` raises.
    """
    overview = Overview(study.name, environment=study.policy.environment)
    now = time.time()
    with current(config, study) as moment:
        runs = _Runs.of(moment.tables, run_name)
        overview.job_count = runs.job_count(of_all=run_name is None)
        usual = None if keep else runs.usual()
        if usual is not None:
            overview.states[FINISHED] += usual.count
            overview.add_times(usual.times, usual.longest)
            runs = usual.others
        overview.states.update(dict(runs.states()))
        if keep:
            looked_at = runs.entries(_ANY)
        else:
            overview.add_times(*runs.times())
            looked_at = runs.entries(runs.is_looked_at, but=runs.is_mere_failure)
            overview.more_failures = max(0, runs.mere_failures() - failures_max)
            looked_at = chain(looked_at, runs.entries(runs.is_mere_failure, most=failures_max))
        for entries in looked_at:
            directory = present_directory(study, entries)
            overview.add(entries, directory, _ended_at(entries, directory), now, keep=keep)
        overview.show_failures(failures_max)
        if overview.failures and failures_max != ALL_FAILURES:
            failed = [row.id for row in overview.failures]
            overview.parameters = parameters(moment.tables, study, failed)
        overview.outdated = _outdated(config, study, runs, usual)
    return overview


def _ended_at(entries: Mapping[str, Any], directory: Path | None) -> float | None:
    """When a started run ended (seconds since 1970), by its entries or its exit record."""
    if entries.get("start_time") is None or directory is None:
        return None
    return ended_at(entries, directory)


@dataclass(frozen=True)
class _Usual:
    """Runs that have finished with the same files, and whose records are complete.

    Attributes:
        count: how many they are.
        times: how long they took in milliseconds, as far as that is known.
        longest: the id of the run that took longest.
        first: the id of the first of them.
        checksum: the checksum of their files.
        others: the other runs.
    """

    count: int
    times: list[int]
    longest: int | None
    first: int
    checksum: str
    others: _Runs


class _Runs:
    """Some runs of a mirror, as SQL sees them.

    Args:
        tables: the mirror's tables.
        where: the SQL condition that the runs meet.
        values: the parameters of that condition.
    """

    def __init__(self, tables: MirrorTables, where: str, values: Sequence[Any]) -> None:
        self._tables = tables
        self._fields = tables.fields(RUNS)
        self._where = where
        self._values = values
        state = "coalesce(runs.state, 'None')"
        # The condition that most runs meet comes first.
        self._has_result = f"(runs.state = '{FINISHED}' OR {state} NOT IN ({_listed(_NO_RESULT)}))"
        self._has_failed = f"{state} IN ({_listed(FAILED_STATES)})"
        self._has_reason = self._is_set(f"{PREFIX}failure_reason", "failure_reason")
        self._is_job = self._is_set(f"{PREFIX}batch_name", "batch_name")
        self._is_known = self._known_time()

    @classmethod
    def of(cls, tables: MirrorTables, run_name: str | None) -> _Runs:
        """All runs, or those of a run_name."""
        if run_name is None:
            return cls(tables, _ANY, ())
        name = run_name if can_be_stored(run_name) else ascii(run_name)
        return cls(tables, "runs.run_name = ?", (name,))

    def _all(self, what: str, where: str = "1", rest: str = "") -> Any:
        return self._tables.connection.execute(
            f"SELECT {what} FROM runs WHERE {self._where} AND ({where}) {rest}", self._values
        )

    def _column(self, name: str, kind: str) -> str:
        """The column with an entry's values of one kind."""
        columns = self._fields.get(Name(False, name), [])
        return next((f"runs.{column.column}" for column in columns if column.kind == kind), "NULL")

    def _is_set(self, *names: str) -> str:
        """The SQL condition that one of these entries has a value."""
        columns = [
            f"runs.{column.column} IS NOT NULL"
            for name in names
            for column in self._fields.get(Name(False, name), [])
        ]
        return f"({' OR '.join(columns)})" if columns else "0"

    def states(self) -> Iterator[tuple[str, int]]:
        """How many runs are in each state."""
        for state, count in self._all("runs.state, count(*)", rest="GROUP BY runs.state"):
            yield str(state), count

    def job_count(self, *, of_all: bool) -> int:
        """How many jobs these runs have, or, with ``of_all``, the study has."""
        query = self._tables.connection.execute("SELECT count(*) FROM jobs")
        if not of_all:
            query = self._all("count(DISTINCT runs.job_id)")
        (count,) = query.fetchone()
        return int(count)

    def usual(self) -> _Usual | None:
        """The runs of the most usual kind, found in one pass; ``None`` if there are none."""
        checksum = self._column(f"{PREFIX}files_checksum", PLAIN)
        is_usual = (
            f"runs.state = '{FINISHED}' AND {self._is_known} AND {self._is_job} IS NOT TRUE "
            f"AND {checksum}"
        )
        first = self._all(
            f"runs.id, {checksum}", f"{is_usual} >= ''", "ORDER BY runs.id LIMIT 1"
        ).fetchone()
        if first is None or type(first[1]) is not str:
            return None
        milliseconds = (
            f"CASE WHEN {is_usual} = {_quoted(first[1])} "
            f"THEN CAST(round({self._seconds} * 1000) AS INTEGER) END"
        )
        in_order = f"FROM runs NOT INDEXED WHERE {self._where}"  # in the order of their ids
        number = f"coalesce({milliseconds}, runs.id + {_BEYOND})"
        by_run = numbers(self._tables, number, self._where, self._values)
        in_turn = sorted(by_run)
        count = bisect_left(in_turn, _BEYOND)
        others = [number - _BEYOND for number in in_turn[count:]]
        # A time below 0 is meaningless.
        times = in_turn[bisect_left(in_turn, 0) : count]
        longest = None
        if times:
            place = by_run.index(times[-1])
            (longest,) = self._tables.connection.execute(
                f"SELECT runs.id {in_order} LIMIT 1 OFFSET {place}", self._values
            ).fetchone()
        where, values = f"{self._where} AND ({milliseconds}) IS NULL", self._values
        if len(others) <= FEW:
            where, values = "runs.id IN (SELECT value FROM json_each(?))", [json.dumps(others)]
        return _Usual(
            count=count,
            times=times,
            longest=longest,
            first=first[0],
            checksum=first[1],
            others=_Runs(self._tables, where, values),
        )

    @property
    def _times(self) -> tuple[str, str]:
        """The columns with the times of a run's start and end."""
        ended = self._column(f"{PREFIX}attempt_ended", PLAIN)
        return self._column("start_time", TIME), ended

    @property
    def _seconds(self) -> str:
        started, ended = self._times
        return _SECONDS.format(started=started, ended=ended)

    def _known_time(self) -> str:
        """The SQL condition that a run's time is known: both its times are noted, in UTC."""
        started, ended = self._times
        return (
            f"({ended} < {_ENDED_MAX} AND substr({started}, -6) = '+00:00' "
            f"AND {self._is_set('run_path')} AND {self._is_set(_MARK)} AND runs.more IS NULL)"
        )

    @property
    def is_mere_failure(self) -> str:
        """The SQL condition that a run has failed, and that there is nothing else to note of it."""
        return f"({self._has_failed} AND {self._is_job} IS NOT TRUE AND runs.more IS NULL)"

    @property
    def is_looked_at(self) -> str:
        """The SQL condition that a run's entries must be read: it may have failed, or be a job."""
        return (
            f"((runs.state IS NOT '{FINISHED}' AND ({self._has_failed} OR {self._has_reason})) "
            f"OR {self._is_job} OR runs.more IS NOT NULL OR ({self._is_set('start_time')} "
            f"AND {self._has_result} AND {self._is_known} IS NOT TRUE))"
        )

    def mere_failures(self) -> int:
        """How many runs have failed, and there is nothing else to note of them."""
        (count,) = self._all("count(*)", self.is_mere_failure).fetchone()
        return int(count)

    def times(self) -> tuple[list[int], int | None]:
        """The times in ms of the runs that are not read, and the run that took longest."""
        milliseconds = f"CAST(round({self._seconds} * 1000) AS INTEGER)"
        where = (
            f"{self._has_result} AND {self._is_known} AND {self._is_job} IS NOT TRUE "
            f"AND (runs.state = '{FINISHED}' OR {self._has_reason} IS NOT TRUE)"
        )
        in_order = "ORDER BY runs.id"
        times = [row[0] for row in self._all(milliseconds, where, in_order)]
        # The record of an earlier attempt (a time below 0) is meaningless.
        known = times if min(times, default=0) >= 0 else [time for time in times if time >= 0]
        if not known:
            return known, None
        place = f"{in_order} LIMIT 1 OFFSET {times.index(max(known))}"
        (longest,) = self._all("runs.id", where, place).fetchone()
        return known, longest

    def entries(
        self, where: str, *, but: str = "0", most: int = ALL_FAILURES
    ) -> Iterator[dict[str, Any]]:
        """The entries of runs that meet a condition, but not another one; the first of them."""
        names = [(RUNS, [Name(False, name)]) for name in _READ]
        where = f"{self._where} AND {where} AND {but} IS NOT TRUE"
        for part in parts(self._tables, names, where, self._values, most=most):
            for number, *values in zip(*part, strict=True):
                known = {
                    name: value
                    for name, value in zip(_READ, values, strict=True)
                    if value is not None and not isinstance(value, LeftOut)
                }
                yield {**known, "id": number}

    def with_other_files(self, checksum: str) -> Iterator[tuple[int, int]]:
        """The runs that have finished with other files: one run, and how many have its files.

        Runs whose files were not noted come one by one.
        """
        noted, ended = (
            f"CASE WHEN {self._is_set(_MARK)} THEN {self._column(PREFIX + name, PLAIN)} "
            f"ELSE {self._column(name, PLAIN)} END"
            for name in ("files_checksum", "ended_state")
        )
        has_result = f"runs.state = '{FINISHED}' OR ({self._has_result} AND {ended} = '{FINISHED}')"
        where = f"({has_result}) AND {noted} IS NOT {_quoted(checksum)}"
        checksum_or_run = f"coalesce({noted}, runs.id)"
        yield from self._all(
            "min(runs.id), count(*)", where, f"GROUP BY {checksum_or_run} ORDER BY 1"
        )


def _outdated(
    config: WorkflowConfig, study: StudyConfig, runs: _Runs, usual: _Usual | None
) -> Outdated | None:
    """The finished runs that were made with other files; ``None`` if files cannot be read."""
    from motoko.store.present_files import StudyFiles

    try:
        present = StudyFiles(study, keeping=False).present()
    except ConfigError as error:
        log.info("%s", error)
        return None
    others = Counter(dict(runs.with_other_files(present.checksum)))
    if usual is not None and usual.checksum != present.checksum:
        others[usual.first] += usual.count
    if not others:
        return None
    from motoko.store.changed_files import FileChanges

    with reading_base(config, study) as (base, _):
        changes = FileChanges(base, present)
        for number, run in base.loaded((n, base.runs.entries.get(n)) for n in others):
            if run is not None:
                changes.add(run, others[number])
        return changes.outdated


def _listed(words: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(map(_quoted, sorted(words)))


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
