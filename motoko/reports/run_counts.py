"""What a study's runs are at, from its mirror: SQL counts most of them, without looking at them."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_tables import RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import parts
from motoko.mirror.scalars import PLAIN, TIME, LeftOut, can_be_stored
from motoko.reports.base_reading import reading_base
from motoko.reports.overview import Overview
from motoko.runs.claims import recorded_at
from motoko.runs.entries import OWN, PREFIX, OwnEntries
from motoko.runs.outdated import Outdated
from motoko.runs.paths import present_directory
from motoko.runs.states import FAILED_STATES, FINISHED, UNENDED_STATES

log = logging.getLogger(__name__)

_MARK = f"{PREFIX}attempt"
_READ = (
    *("id", "state", "run_name", "event_name", "job_id", "run_path", "start_time"),
    *(name for own in OWN for name in (PREFIX + own, own)),
)
_NO_RESULT = (*UNENDED_STATES, *FAILED_STATES)
# A run's last attempt began so many days, and ended so many seconds, after a moment of the past.
_SECONDS = "round({ended} - (julianday({started}) - 2440587.5) * 86400.0, 3)"


def overview_of(
    config: WorkflowConfig, study: StudyConfig, run_name: str | None, *, keep: bool
) -> Overview:
    """What the runs are at (of a run_name, or all); it counts their jobs, or all there are.

    With ``keep`` every run is kept, and not only those that have failed. Raises as
    :func:`motoko.mirror.current_mirror.current`.
    """
    overview = Overview(study.name, environment=study.policy.environment)
    now = time.time()
    with current(config, study) as moment:
        runs = _Runs(moment.tables, run_name)
        overview.states.update(dict(runs.states()))
        overview.job_count = runs.job_count()
        if not keep:
            overview.add_times(*runs.times())
        for entries in runs.entries(all_of_them=keep):
            directory = present_directory(study, entries)
            overview.add(entries, directory, _ended_at(entries, directory), now, keep=keep)
        overview.outdated = _outdated(config, study, runs)
    return overview


def _ended_at(entries: Mapping[str, Any], directory: Path | None) -> float | None:
    """When a run that has started ended (seconds since 1970), as it or its exit record tells."""
    if entries.get("start_time") is None or directory is None:
        return None
    own = OwnEntries(entries)
    return own.attempt_ended or recorded_at(directory, own.attempt)


class _Runs:
    """The runs of a mirror, all or those of a run_name, as SQL sees them."""

    def __init__(self, tables: MirrorTables, run_name: str | None) -> None:
        self._tables = tables
        self._fields = tables.fields(RUNS)
        self._run_name = run_name
        name = run_name if run_name is None or can_be_stored(run_name) else ascii(run_name)
        self._where = "1" if name is None else "runs.run_name = ?"
        self._values: Sequence[str] = () if name is None else (name,)
        state = "coalesce(runs.state, 'None')"
        # What holds of most is asked first.
        self._has_result = f"(runs.state = '{FINISHED}' OR {state} NOT IN ({_listed(_NO_RESULT)}))"
        self._has_failed = f"{state} IN ({_listed(FAILED_STATES)})"
        self._is_job = self._is_set(f"{PREFIX}batch_name", "batch_name")
        self._is_known = self._known_time()

    def _all(self, what: str, where: str = "1", rest: str = "") -> Any:
        return self._tables.connection.execute(
            f"SELECT {what} FROM runs WHERE {self._where} AND ({where}) {rest}", self._values
        )

    def _column(self, name: str, kind: str) -> str:
        """The column of an entry's values of one kind."""
        columns = self._fields.get(Name(False, name), [])
        return next((f"runs.{column.column}" for column in columns if column.kind == kind), "NULL")

    def _is_set(self, *names: str) -> str:
        """That one of these entries has a value."""
        columns = [
            f"runs.{column.column} IS NOT NULL"
            for name in names
            for column in self._fields.get(Name(False, name), [])
        ]
        return f"({' OR '.join(columns)})" if columns else "0"

    def states(self) -> Iterator[tuple[str, int]]:
        """How many runs are in which state."""
        for state, count in self._all("runs.state, count(*)", rest="GROUP BY runs.state"):
            yield str(state), count

    def job_count(self) -> int:
        """How many jobs there are, or the runs of the run_name have."""
        query = self._tables.connection.execute("SELECT count(*) FROM jobs")
        if self._run_name is not None:
            query = self._all("count(DISTINCT runs.job_id)")
        (count,) = query.fetchone()
        return int(count)

    def _known_time(self) -> str:
        """That SQL can tell how long a run took: it has noted both its times, in UTC."""
        started, ended = (
            self._column("start_time", TIME),
            self._column(f"{PREFIX}attempt_ended", PLAIN),
        )
        return (
            f"(substr({started}, -6) = '+00:00' AND typeof({ended}) = 'real' "
            f"AND {self._is_set('run_path')} AND {self._is_set(_MARK)} AND runs.more IS NULL)"
        )

    def _is_looked_at(self) -> str:
        """That a run's entries have to be looked at: it may have failed, or be a job."""
        reason = self._is_set(f"{PREFIX}failure_reason", "failure_reason")
        return (
            f"((runs.state IS NOT '{FINISHED}' AND ({self._has_failed} OR {reason})) "
            f"OR {self._is_job} OR runs.more IS NOT NULL OR ({self._is_set('start_time')} "
            f"AND {self._has_result} AND {self._is_known} IS NOT TRUE))"
        )

    def times(self) -> tuple[array[float], int | None]:
        """How long the others took in seconds, and which took longest."""
        reason = self._is_set(f"{PREFIX}failure_reason", "failure_reason")
        seconds = _SECONDS.format(
            started=self._column("start_time", TIME),
            ended=self._column(f"{PREFIX}attempt_ended", PLAIN),
        )
        where = (
            f"{self._has_result} AND {self._is_known} AND {self._is_job} IS NOT TRUE "
            f"AND (runs.state = '{FINISHED}' OR {reason} IS NOT TRUE)"
        )
        in_order = "ORDER BY runs.id"
        times = array("d", (row[0] for row in self._all(seconds, where, in_order)))
        # A record of an attempt before says nothing.
        known = times if min(times, default=0.0) >= 0 else array("d", (t for t in times if t >= 0))
        if not known:
            return known, None
        place = f"{in_order} LIMIT 1 OFFSET {times.index(max(known))}"
        (longest,) = self._all("runs.id", where, place).fetchone()
        return known, longest

    def entries(self, *, all_of_them: bool) -> Iterator[dict[str, Any]]:
        """The entries of the runs that have to be looked at, or of all."""
        names = [(RUNS, [Name(False, name)]) for name in _READ]
        where = self._where if all_of_them else f"{self._where} AND {self._is_looked_at()}"
        for part in parts(self._tables, names, where, self._values):
            for number, *values in zip(*part, strict=True):
                known = {
                    name: value
                    for name, value in zip(_READ, values, strict=True)
                    if value is not None and not isinstance(value, LeftOut)
                }
                yield {**known, "id": number}

    def with_other_files(self, checksum: str) -> Iterator[tuple[int, int]]:
        """Runs that have finished with other files: one of them, and how many are like it.

        Those of which it is not noted with which come one by one.
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


def _outdated(config: WorkflowConfig, study: StudyConfig, runs: _Runs) -> Outdated | None:
    """The finished runs that were made with other files; of who may not read these, none."""
    from motoko.store.present_files import StudyFiles

    try:
        present = StudyFiles(study, keeping=False).present()
    except ConfigError as error:
        log.info("%s", error)
        return None
    others = dict(runs.with_other_files(present.checksum))
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
