"""Resetting, deleting and retrying runs, beside whatever else works in the study.

A run is taken out of everybody's hands before its directory is removed: its state is CLEANING
until that is done. A launcher that was about to start it meets a conflict, or finds the attempt
claimed. Should the command be killed in between, the same command finishes the work.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import transaction
import zc.lockfile
from BlackDynamite.conffile_zeo import ConfFile
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError, StorageTransactionError

from motoko import control
from motoko.bd.base import StudyBase, connect, open_file
from motoko.bd.executions import attempt_of, directory_of, is_running, take_claim
from motoko.bd.storage import PATIENCE_S, PatientStorage
from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError, NotCreated, StudyUnavailable
from motoko.job_facts import is_followed
from motoko.runtime import locate
from motoko.selection import TaskSelection
from motoko.states import CANCELLED_BY, CREATED, FAILED_STATES
from motoko.workers.wrapper import read_claim

CLEANING = "CLEANING"
T = TypeVar("T")

BATCH = 500
# A run that has just called finish() or fail() ends a moment later.
END_S = 5.0
REMOVE_ATTEMPTS = 5
# What an execution leaves in a run's entries, and what a run that was never executed has not.
_OF_EXECUTION = (
    *("attempt", "run_path", "ended_state", "failure_reason", "last_failure", "exit_code"),
    *("retry_at", "blackdynamite_version", "python_requirements", CANCELLED_BY),
    *("batch_system", "batch_name", "batch_attempt", "batch_job_id", "batch_state", "batch_nodes"),
)
_NONE_AT_FIRST = ("start_time", "last_step", "last_step_time")


@contextlib.contextmanager
def opened(
    config: WorkflowConfig, study: StudyConfig, *, read_only: bool = False
) -> Iterator[StudyBase]:
    """A study's base: from its server if one is to be there, else from its file.

    Raises ``NotCreated``, or ``StudyUnavailable`` if the server does not answer or if somebody
    else has the file.
    """
    if study.is_local and not study.created:
        raise NotCreated(f"study {study.name} has no database yet", hint="run `motoko create`")
    if not study.is_local or is_served(config, study):
        base = connect(study, locate(config))
    else:
        if not read_only:
            control.refuse_elsewhere(config)
        try:
            base = open_file(study, read_only=read_only)
        except zc.lockfile.LockError as error:
            raise StudyUnavailable(
                f"the database of study {study.name} is in use, by no server of this workflow",
                hint=f"`fuser -v {study.directory / '.bd' / 'bd.zeo.lock'}` names who uses it",
            ) from error
    try:
        yield base
    finally:
        base.close()


def is_served(config: WorkflowConfig, study: StudyConfig) -> bool:
    """Whether a local study has a ZEO server, or will have one again in a moment."""
    name = f"zeo:{study.name}"
    if any(daemon.name == name for daemon in control.living_daemons(control.records(config))):
        return True
    if not control.is_running(config):
        return False
    status = control.supervisor_status(config)
    states = {each["name"]: each["state"] for each in status["daemons"]} if status else {}
    return states.get(name) not in ("stopped", "failed")


@dataclass
class Cleaned:
    """What became of the runs that were to be cleaned, by id."""

    done: list[int] = field(default_factory=list)
    untouched: list[int] = field(default_factory=list)  # never executed: nothing to reset
    changed: list[int] = field(default_factory=list)  # started or changed meanwhile: left alone
    left: list[Path] = field(default_factory=list)  # directories that are not this study's


def selected(base: StudyBase, constraints: Sequence[str]) -> dict[int, str]:
    """The states of the runs that obey all constraints, by id."""
    _renew(base)
    pairs = TaskSelection(list(constraints), None, base, base.study.name).exec()
    return {run.entries["id"]: str(run.entries.get("state")) for run, _ in pairs}


def failed(base: StudyBase, constraints: Sequence[str]) -> list[int]:
    """The failed ones among the runs that obey all constraints."""
    return [n for n, state in selected(base, constraints).items() if state in FAILED_STATES]


def running(base: StudyBase, numbers: Collection[int]) -> list[int]:
    """Those of the runs that are being executed.

    Waits a moment for those that have said they have ended, and whose processes have not yet.
    """
    deadline = time.monotonic() + END_S
    found = []
    for number in numbers:
        run = base.runs.entries.get(number)
        if run is not None and is_running(base.study, run.entries, deadline):
            found.append(number)
    return found


def clean(base: StudyBase, wanted: Mapping[int, str], *, delete: bool = False) -> Cleaned:
    """Remove the directories of runs, and reset the runs to CREATED or delete them.

    A reset run is as ``createTask`` made it, but for the values that it has stored itself. Runs
    that are being executed, or whose state is not the expected one any more, are left alone.

    Args:
        base: the study.
        wanted: the runs' ids, and the state that each is expected to have.
        delete: remove the runs from the database. Their jobs stay.
    """
    cleaned = Cleaned()
    numbers = list(wanted)
    for start in range(0, len(numbers), BATCH):
        _clean(base, {n: wanted[n] for n in numbers[start : start + BATCH]}, delete, cleaned)
    return cleaned


def _clean(base: StudyBase, wanted: Mapping[int, str], delete: bool, cleaned: Cleaned) -> None:
    runs = base.runs.entries

    def take() -> tuple[dict[int, Path | None], Cleaned]:
        """The runs that are ours from now on, with their directories."""
        taken: dict[int, Path | None] = {}
        passed = Cleaned()
        for number, state in wanted.items():
            run = runs.get(number)
            if run is None or str(run.entries.get("state")) != state:
                passed.changed.append(number)
            elif not delete and _is_fresh(run.entries):
                passed.untouched.append(number)
            elif is_running(base.study, run.entries) or not take_claim(base.study, run.entries):
                passed.changed.append(number)
            else:
                run.entries["state"] = CLEANING
                run.entries.pop("ended_state", None)  # nobody is to take it for finished
                taken[number] = directory_of(base.study, run.entries)
                if taken[number] is None and (elsewhere := run.entries.get("run_path")):
                    passed.left.append(Path(elsewhere))
        return taken, passed

    taken, passed = atomically(base, take)
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
            if delete:
                _delete(base, run)
            else:
                _reset(run)

    atomically(base, finish)
    cleaned.done += taken


def retry(base: StudyBase, numbers: Collection[int]) -> dict[int, int]:
    """Have failed runs executed again; returns the number of the attempt of each.

    They take the study's present ``launch.sh``, ``doIt.py`` and config files: the cause of the
    failure may have been mended there.

    Raises ``MotokoError`` for a run that does not exist, has not failed, or whose processes are
    not gone; then nothing is changed.
    """
    check_retry(base, numbers)
    study = base.study
    paths = [study.directory / name for name in ("launch.sh", "doIt.py", *study.config_files)]
    files = [ConfFile(str(path)) for path in paths if path.is_file()]

    def work() -> dict[int, int]:
        attempts = {}
        for number in numbers:
            run = base.runs.entries.get(number)
            if run is None or run.entries.get("state") not in FAILED_STATES:
                raise _not_failed(base, number)
            _take_files(base, run, files)
            attempts[number] = _retry(study, run.entries)
        return attempts

    return atomically(base, work)


def check_retry(base: StudyBase, numbers: Collection[int]) -> None:
    """Raise what :func:`retry` would raise, and change nothing."""
    _renew(base)
    deadline = time.monotonic() + END_S
    for number in numbers:
        run = base.runs.entries.get(number)
        if run is None or run.entries.get("state") not in FAILED_STATES:
            raise _not_failed(base, number)
        if is_followed(run.entries):
            job = run.entries.get("batch_job_id") or "that is being submitted"
            raise MotokoError(
                f"run {base.study.name}.{number} has failed, but its job {job} may not be over",
                hint="wait until its launcher has seen the end: `motoko explain` tells",
            )
        if is_running(base.study, run.entries, deadline):
            raise MotokoError(
                f"run {base.study.name}.{number} has failed, but its processes are not gone",
                hint=f"end them (they are in {directory_of(base.study, run.entries)}), or wait",
            )


def atomically(base: StudyBase, work: Callable[[], T]) -> T:
    """Call ``work`` on a fresh view and commit what it changes; again, if somebody was faster.

    ``work`` must be repeatable. Raises ``StudyUnavailable`` if it does not get through.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            _renew(base)
            result = work()
            transaction.commit()
            return result
        except (ConflictError, ClientDisconnected, StorageTransactionError) as error:
            transaction.abort()
            if time.monotonic() > deadline:
                raise StudyUnavailable(
                    f"study {base.study.name}: changes could not be saved for {PATIENCE_S:.0f} s",
                    hint="`motoko ps` shows the state of the ZEO servers",
                ) from error
        except BaseException:
            transaction.abort()
            raise
        time.sleep(random.uniform(0, 0.05))


def _renew(base: StudyBase) -> None:
    if isinstance(base.db.storage, PatientStorage):
        base.db.storage.ping()
    transaction.begin()


def _is_fresh(entries: Mapping[str, Any]) -> bool:
    """Whether a run was never executed, nor cleaned halfway."""
    return entries.get("state") == CREATED and not any(
        entries.get(name) is not None for name in _OF_EXECUTION
    )


def _remove(directory: Path) -> None:
    for left in reversed(range(REMOVE_ATTEMPTS)):
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            # A launcher that has not noticed yet may have written into it just now.
            if left and directory.is_dir():
                time.sleep(0.02)
                continue
            raise MotokoError(
                f"{directory} cannot be removed: {error.strerror or error}",
                hint=f"some runs are left in state {CLEANING}: mend that, and call it again",
            ) from error
        return


def _reset(run: Any) -> None:
    entries = run.entries
    for name in _OF_EXECUTION:
        entries.pop(name, None)
    entries.update(dict.fromkeys(_NONE_AT_FIRST))
    entries["state"] = CREATED
    if run.quantities:
        run.quantities.clear()


def _delete(base: StudyBase, run: Any) -> None:
    number = run.entries["id"]
    job = base.jobs.entries.get(run.entries.get("job_id"))
    if job is not None and hasattr(job, "runs"):
        job.runs.entries.pop(number, None)
    del base.runs.entries[number]


def _retry(study: StudyConfig, entries: Any) -> int:
    attempt = attempt_of(entries)
    directory = directory_of(study, entries)
    # Attempts count executions; one that could not even start was none.
    if "run_path" in entries and (
        directory is None or not directory.is_dir() or read_claim(directory, attempt) is not None
    ):
        attempt += 1
    if reason := entries.get("failure_reason"):
        entries["last_failure"] = reason
    for name in ("ended_state", "failure_reason", "exit_code", "retry_at", CANCELLED_BY):
        entries.pop(name, None)
    entries.update({"state": CREATED, "attempt": attempt})
    return attempt


def _take_files(base: StudyBase, run: Any, files: Sequence[Any]) -> None:
    """Replace a run's files by the present ones of the same names."""
    stored = base.configfiles
    present = {file.filename: file for file in files}
    for old in list(run.configfiles):
        file = present.get(stored[old].filename)
        if file is None or file.id == old:
            continue
        if file.id not in stored:
            stored[file.id] = file
        elif stored[file.id].filename != file.filename:
            continue  # the database keeps one file, and one name, for a content
        run.configfiles.remove(old)
        run.configfiles.add(file.id)
        if run.entries.get("exec") == old:
            run.entries["exec"] = file.id


def _not_failed(base: StudyBase, number: int) -> MotokoError:
    study, run = base.study.name, base.runs.entries.get(number)
    if run is None:
        count = len(base.runs.entries)
        return MotokoError(
            f"study {study} has no run {number}", hint=f"it has {count} runs: see `motoko info`"
        )
    return MotokoError(
        f"run {study}.{number} is {run.entries.get('state')}: only failed runs are retried",
        hint=f'to execute it anew: motoko clean -bd {study} --constraints "runs.id = {number}"',
    )
