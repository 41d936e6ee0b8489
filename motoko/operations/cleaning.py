"""Resetting and deleting runs, while other processes work in the study.

A run is reserved before its directory is removed: its state is CLEANING until that is done. A
launcher that was about to start the run gets a conflict, or finds the attempt claimed. If the
command is killed in between, calling the same command again finishes the work.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig
from motoko.errors import BeingExecuted, CannotRemove, ChangeConflict
from motoko.operations.choosing import Choice, StudyChoice, no_such_run, running
from motoko.runs.entries import PRESENT_FILES, OwnEntries, documented
from motoko.runs.fences import remove_fences
from motoko.runs.processes import claim_of, directory_of, take_claim
from motoko.runs.processes import running as running_of
from motoko.runs.references import listed
from motoko.runs.states import CREATED, state_of
from motoko.store import config_files
from motoko.store.base import StudyBase
from motoko.store.changed_files import FileChanges
from motoko.store.jobs_of_runs import NoJob, job_of
from motoko.store.present_files import StudyFiles
from motoko.store.transactions import commit_now, renew
from motoko.store.unused_contents import drop_unused

CLEANING = "CLEANING"
BATCH = 500
REMOVE_ATTEMPTS = 5
# The entries that an execution leaves in a run, besides Motoko's own.
_OF_EXECUTION = ("run_path", "blackdynamite_version", "python_requirements")
_NONE_AT_FIRST = ("start_time", "last_step", "last_step_time")


@dataclass
class Cleaned:
    """The outcomes of cleaning a study's runs: the runs' ids, by outcome."""

    study: str
    directory: Path  # the study's directory
    done: list[int] = field(default_factory=list)
    untouched: list[int] = field(default_factory=list)  # never executed: nothing to reset
    changed: list[int] = field(default_factory=list)  # started or changed meanwhile: left alone
    left: list[Path] = field(default_factory=list)  # directories outside this study: left alone
    freed: int = 0  # bytes of large files that no run uses any more


def clean_runs(
    config: WorkflowConfig, choice: Choice, *, delete: bool = False, outdated: bool = False
) -> Iterator[Cleaned]:
    """Reset or delete the chosen runs, study by study.

    With ``outdated``, only finished runs that were made with other files than the current ones.

    Raises ``MotokoError`` if one of the runs is being executed; then nothing is changed. Also
    raises it at the end if some runs have changed meanwhile; these were left alone.
    """
    changed: list[str] = []
    with choice.opened(config) as studies:
        # Everything is checked before anything is changed.
        work = [(chosen.base, _named(chosen) | chosen.selected()) for chosen in studies]
        if outdated:
            work = [(base, _outdated(base, wanted)) for base, wanted in work]
        busy = [f"{base.study.name}.{n}" for base, wanted in work for n in running(base, wanted)]
        if busy:
            raise BeingExecuted(
                f"these runs are being executed: {listed(busy)}; nothing was changed",
                hint="wait for them, choose others (--constraints), or end them: `motoko kill`",
            )
        for base, wanted in work:
            cleaned = clean(base, wanted, delete=delete)
            cleaned.freed = drop_unused(base)
            changed += [f"{cleaned.study}.{number}" for number in cleaned.changed]
            yield cleaned
    if changed:
        raise ChangeConflict(
            f"these runs have changed meanwhile and were left alone: {listed(changed)}",
            hint="look at them (`motoko info --verbose`), and call it again",
        )


def _named(chosen: StudyChoice) -> dict[int, str]:
    """The states of the runs that were named, by id; ``MotokoError`` if one does not exist."""
    renew(chosen.base)
    runs, states = chosen.base.runs.entries, {}
    for number in chosen.named:
        if (run := runs.get(number)) is None:
            raise no_such_run(chosen.base, number)
        states[number] = state_of(run.entries)
    return states


def _outdated(base: StudyBase, wanted: Mapping[int, str]) -> dict[int, str]:
    """The runs that have finished and were made with other files than the current ones."""
    changes = FileChanges(base, StudyFiles(base.study, keeping=False).present())
    runs = dict(base.loaded((number, base.runs.entries.get(number)) for number in wanted))
    return {n: wanted[n] for n, run in runs.items() if run is not None and changes.add(run)}


def clean(base: StudyBase, wanted: Mapping[int, str], *, delete: bool = False) -> Cleaned:
    """Remove the directories of runs, and reset the runs to CREATED or delete them.

    A reset run is as ``createTask`` made it, except for values that the run has stored itself. Runs
    that are being executed, or whose state is no longer the expected one, are left alone.

    Args:
        base: the study's base.
        wanted: the runs' ids, and the state that each run is expected to have.
        delete: remove the runs from the database. Their jobs stay.
    """
    cleaned = Cleaned(base.study.name, base.study.directory)
    numbers = list(wanted)
    for start in range(0, len(numbers), BATCH):
        _clean(base, {n: wanted[n] for n in numbers[start : start + BATCH]}, delete, cleaned)
    return cleaned


def _clean(base: StudyBase, wanted: Mapping[int, str], delete: bool, cleaned: Cleaned) -> None:
    runs = base.runs.entries
    present = None if delete else StudyFiles(base.study, keeping=True).present()

    def take() -> tuple[dict[int, Path | None], Cleaned]:
        """Reserve the runs: gives those that are ours from now on, with their directories."""
        taken: dict[int, Path | None] = {}
        candidates: dict[int, Any] = {}
        passed = Cleaned(base.study.name, base.study.directory)
        for number, state in wanted.items():
            run = runs.get(number)
            if run is None or state_of(run.entries) != state:
                passed.changed.append(number)
            elif not delete and _is_fresh(run.entries):
                passed.untouched.append(number)
            else:
                candidates[number] = run.entries
        claimed = {
            n for n, entries in candidates.items() if claim_of(base.study, entries) is not None
        }
        executed = running_of(base.study, candidates)
        for number, entries in candidates.items():
            # A run whose attempt is not claimed could be started at any moment: claim it here.
            free = number not in executed and take_claim(base.study, entries)
            if not free and (number in executed or number not in claimed):
                passed.changed.append(number)
                continue
            OwnEntries(entries).drop("ended_state")  # the run must not count as finished
            entries["state"] = CLEANING
            taken[number] = directory_of(base.study, entries)
            if taken[number] is None and (elsewhere := entries.get("run_path")):
                passed.left.append(Path(elsewhere))
        return taken, passed

    taken, passed = commit_now(base, take)
    cleaned.untouched += passed.untouched
    cleaned.changed += passed.changed
    cleaned.left += passed.left
    for directory in taken.values():
        if directory is not None:
            _remove(directory)

    def finish() -> None:
        for number in taken:
            run = runs.get(number)
            if run is None:
                continue
            if present is None:
                _delete(base, run)
            else:
                _reset(run)
                config_files.assign(base, run, present)
                OwnEntries(run.entries).note("files_wanted", PRESENT_FILES)

    commit_now(base, finish)
    cleaned.done += taken
    if delete:
        # The fences of a reset run are kept: the numbers of its attempts continue after them.
        remove_fences(base.study.directory.parent, base.study.name, taken)


def _is_fresh(entries: Mapping[str, Any]) -> bool:
    """Whether a run was never executed, and was not partly cleaned."""
    return state_of(entries) == CREATED and not (
        any(entries.get(name) is not None for name in _OF_EXECUTION)
        or documented(entries).keys() - {"files_checksum", "files_wanted"}
    )


def _remove(directory: Path) -> None:
    for left in reversed(range(REMOVE_ATTEMPTS)):
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            # A launcher that has not seen the change yet may have just written into the directory.
            if left and directory.is_dir():
                time.sleep(0.02)
                continue
            raise CannotRemove(
                f"{directory} cannot be removed: {error.strerror or error}",
                hint=f"some runs are left in state {CLEANING}: mend that, and call it again",
            ) from error
        return


def _reset(run: Any) -> None:
    entries = run.entries
    OwnEntries(entries).clear()
    for name in _OF_EXECUTION:
        entries.pop(name, None)
    entries.update(dict.fromkeys(_NONE_AT_FIRST))
    entries["state"] = CREATED
    if run.quantities:
        run.quantities.clear()


def _delete(base: StudyBase, run: Any) -> None:
    number = run.entries["id"]
    with contextlib.suppress(NoJob):
        job = job_of(base.jobs.entries, run.entries)
        if hasattr(job, "runs"):
            job.runs.entries.pop(number, None)
    del base.runs.entries[number]
