"""Looking at a workflow: at its mirrors, its records and its disk. No server is asked."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control import detached_requests
from motoko.control.daemon_records import living_orchestrators
from motoko.layout import Runtime
from motoko.mirror.mirror_file import MIRROR_ERRORS, NotUsable, check_readable
from motoko.mirror.mirror_reading import reading
from motoko.mirror.mirror_tables import RUNS, MirrorTables, Name
from motoko.mirror.mirrored_rows import parts
from motoko.runs.entry_table import OWN
from motoko.runs.paths import present_directory
from motoko.runs.run_times import ended_at
from motoko.runs.states import FAILED_STATES, FINISHED, UNENDED_STATES
from motoko.workers.notifier.occurrences import StudySeen

FAILURES = 100  # the failed runs that are looked at: those with the highest numbers
ENDS = 100  # the runs whose ends are looked at
_REASON_MAX = 200


def look_at_study(runtime: Runtime, study: str, tid: str) -> StudySeen | None:
    """The runs of a study after a transaction; ``None`` if its mirror does not show that yet."""
    path = runtime.mirror(study)
    try:
        check_readable(path, is_watched=True)
        with reading(path) as tables:
            if (tables.meta().get("tid") or "") < tid:
                return None
            return _study_in(tables, study)
    except (*MIRROR_ERRORS, NotUsable):
        return None


def _study_in(tables: MirrorTables, study: str) -> StudySeen:
    query = "SELECT state, count(*) FROM runs GROUP BY state"
    counts = {str(state): count for state, count in tables.connection.execute(query)}
    failed = sum(count for state, count in counts.items() if state in FAILED_STATES)
    return StudySeen(
        active=sum(count for state, count in counts.items() if state in UNENDED_STATES),
        failed=failed,
        finished=counts.get(FINISHED, 0),
        failures=tuple(_failures(tables, study)) if failed else (),
    )


def _failures(tables: MirrorTables, study: str) -> Iterator[tuple[int, str]]:
    """The last failed runs: their numbers, and a line for each."""
    where = _last(FAILED_STATES, FAILURES)
    reason = (RUNS, [Name(False, OWN["failure_reason"].key), Name(False, "failure_reason")])
    for part in parts(tables, [reason], where):
        for number, why in zip(*part, strict=True):
            text = str(why or "no reason was recorded")[:_REASON_MAX]
            yield number, f"{study}.{number}: {text}"


def ended_since(runtime: Runtime, study: StudyConfig, moment: float) -> dict[int, str] | None:
    """The states of those of a study's last runs that have ended since a moment, by number.

    ``None`` if the study's mirror cannot be read. The moment is in seconds since 1970.
    """
    names = ("state", "run_path", *(OWN[name].key for name in ("attempt", "attempt_ended")))
    wanted = [(RUNS, [Name(False, name)]) for name in names]
    try:
        with reading(runtime.mirror(study.name)) as tables:
            read = parts(tables, wanted, _last({FINISHED, *FAILED_STATES}, ENDS))
            runs = [row for part in read for row in zip(*part, strict=True)]
    except (*MIRROR_ERRORS, NotUsable):
        return None
    ended = {}
    for number, *values in runs:
        entries = {"id": number, **dict(zip(names, values, strict=True))}
        at = ended_at(entries, present_directory(study, entries))
        if at is not None and at >= moment:
            ended[number] = str(entries["state"])
    return ended


def _last(states: Collection[str], most: int) -> str:
    """SQL that holds for the runs with the highest numbers that are in one of the states."""
    texts = ", ".join(f"'{state}'" for state in sorted(states))
    chosen = f"SELECT id FROM runs WHERE state IN ({texts}) ORDER BY id DESC LIMIT {most}"
    return f"runs.id IN ({chosen})"


def look_at_orchestrators(runtime: Runtime) -> dict[str, int]:
    """The pids of the orchestrators that work, by run name."""
    return {name: who.pid for name, who in living_orchestrators(runtime)}


def look_at_ends(runtime: Runtime) -> dict[str, tuple[float, str]]:
    """When and how orchestrators in the background have ended, by run name."""
    ends = {}
    for request in detached_requests.requests(runtime):
        end = detached_requests.end_of(runtime, request.run_name)
        if end is not None and not detached_requests.goes_on(request.restart, end.exit_code):
            how = f" with exit code {end.exit_code}" if end.exit_code else ""
            ends[request.run_name] = (end.at, f"{how}: {end.error}" if end.error else how)
    return ends


def free_bytes(config: WorkflowConfig) -> int | None:
    """How many bytes of the workflow's disk are free; ``None`` if that is not known."""
    try:
        return shutil.disk_usage(config.directory).free
    except OSError:
        return None
