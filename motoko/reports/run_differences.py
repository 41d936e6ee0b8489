"""What differs between two runs: parameters, results, files, and how they were executed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.reserved_names import OF_BLACKDYNAMITE
from motoko.host.durations import duration
from motoko.host.printable import shortened
from motoko.reports.base_reading import reading_base, run_in
from motoko.reports.result_texts import as_text
from motoko.runs.entries import OwnEntries
from motoko.runs.entry_table import OWN, PREFIX
from motoko.runs.references import Reference
from motoko.runs.run_times import started
from motoko.runs.states import state_of

NONE = "-"
# What of BlackDynamite's entries says how a run was executed.
_EXECUTED = ("run_name", "event_name", "machine_name", "nproc")
LINES_MAX = 200  # of the difference of one file
LONG = 28  # longer values are cut


@dataclass(frozen=True)
class ComparedFile:
    """A file of a run: its checksum, whether it is executable, and its text if it has one."""

    digest: str
    is_executable: bool
    text: str | None


@dataclass(frozen=True)
class ComparedRun:
    """What two runs are compared by.

    Attributes:
        name: STUDY.ID.
        parameters: its job's parameters.
        results: the entries that users have set.
        execution: how it was executed and how it ended, by name.
        files: the files that it was executed with, by their names in its directory.
    """

    name: str
    parameters: Mapping[str, Any]
    results: Mapping[str, Any]
    execution: Mapping[str, Any]
    files: Mapping[str, ComparedFile]


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        kind: ``parameter``, ``result``, ``execution`` or ``file``.
        name: its name.
        before: what the first run has, as a text; ``-`` for nothing.
        after: what the second run has.
        lines: the differing lines of a text file, as in a unified diff.
    """

    kind: str
    name: str
    before: str
    after: str
    lines: Sequence[str] = ()


def gathered(config: WorkflowConfig, study: StudyConfig, run: Reference) -> ComparedRun:
    """What a run is compared by. Raises ``ConfigError`` if there is no such run."""
    from motoko.store import config_files
    from motoko.store.jobs_of_runs import parameters_of
    from motoko.store.present_files import is_executable

    with reading_base(config, study) as (base, _):
        stored, entries = run_in(base, study, run.run_id)
        launch, others = config_files.files_of(base, stored)
        files = {
            file.name: ComparedFile(file.digest, is_executable(file.mode), _text(file.read()))
            for file in (launch, *others)
        }
        parameters = dict(parameters_of(study, base.jobs.entries, entries))
    own = {"attempt", *(name for name in OWN if not OWN[name].yields)}
    results = {
        name: value
        for name, value in entries.items()
        if not (name.startswith(PREFIX) or name in own or name in OF_BLACKDYNAMITE)
    }
    return ComparedRun(
        f"{study.name}.{run.run_id}", parameters, results, _execution(study, entries), files
    )


def _execution(study: StudyConfig, entries: Mapping[str, Any]) -> dict[str, Any]:
    own = OwnEntries(entries)
    facts: dict[str, Any] = {"state": state_of(entries)}
    facts |= {name: entries.get(name) for name in _EXECUTED}
    facts |= {"attempt": own.get("attempt"), "exit_code": own.exit_code}
    facts |= {"failure_reason": own.failure_reason, "batch_nodes": own.batch_nodes}
    start, end = started(entries, study.policy.environment), own.attempt_ended
    if start is not None and end is not None and end >= start.timestamp():
        facts["took"] = duration(end - start.timestamp())
    return facts


def differences(first: ComparedRun, second: ComparedRun) -> Iterator[Difference]:
    """What differs between two runs, in the order in which people look for it. Pure logic."""
    for kind, before, after in (
        ("parameter", first.parameters, second.parameters),
        ("result", first.results, second.results),
        ("execution", first.execution, second.execution),
    ):
        for name in dict.fromkeys((*before, *after)):
            one, other = before.get(name), after.get(name)
            if not _are_equal(one, other):
                yield Difference(kind, name, _shown(one), _shown(other))
    for name in dict.fromkeys((*first.files, *second.files)):
        difference = _file(name, first.files.get(name), second.files.get(name))
        if difference is not None:
            yield difference


def _file(name: str, one: ComparedFile | None, other: ComparedFile | None) -> Difference | None:
    if one is None or other is None:
        return Difference("file", name, "there" if one else NONE, "there" if other else NONE)
    if one.digest == other.digest:
        if one.is_executable == other.is_executable:
            return None
        kinds = ("executable" if file.is_executable else "not executable" for file in (one, other))
        return Difference("file", name, *kinds)
    lines: list[str] = []
    if one.text is not None and other.text is not None:
        before, after = one.text.splitlines(), other.text.splitlines()
        lines = list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
        if len(lines) > LINES_MAX:
            lines[LINES_MAX:] = [f"... and {len(lines) - LINES_MAX} more lines"]
    return Difference("file", name, one.digest[:12], other.digest[:12], lines)


def _are_equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other) or bool(one != one and other != other)  # two NaN are equal
    except ValueError:  # arrays have no single truth
        import numpy as np

        return bool(np.array_equal(one, other))


def _shown(value: Any) -> str:
    return NONE if value is None else shortened(str(as_text(value)), LONG)


def _text(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
