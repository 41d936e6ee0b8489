"""Removing run directories, to free disks: results, states and times of the runs stay.

A directory is renamed before it is removed, and the run is looked at once more in between: so a run
that is being started again at the same moment gets its directory back.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig
from motoko.errors import CannotRemove, NoSuchRun
from motoko.host.disk_space import used
from motoko.operations.choosing import Choice
from motoko.runs.entries import OwnEntries
from motoko.runs.paths import CLAIM, EARLIER_EXIT, EXIT, own_folder, runs_directory
from motoko.runs.processes import attempt_of, directory_of, running
from motoko.runs.states import UNENDED_STATES, state_of
from motoko.store.base import AT_ONCE, StudyBase
from motoko.store.history import changed_at
from motoko.store.transactions import renew

_REMOVING = ".removing-"


@dataclass
class Removed:
    """What became of a study's run directories: how many, and how many bytes are free again."""

    study: str
    directories: int = 0
    freed: int = 0
    executed: int = 0  # runs that are being executed, or wait for that: left alone


def remove_directories(
    config: WorkflowConfig, choice: Choice, *, older_than: float = 0.0
) -> Iterator[Removed]:
    """Remove the directories of the chosen runs that have ended, study by study.

    Files with what the runs have pushed (``pushQuantity``) stay, and those of Motoko that are the
    only ones to say when a run ended.

    Args:
        config: the workflow.
        choice: the runs.
        older_than: only of runs that ended so many seconds ago.

    Raises ``CannotRemove`` if a directory cannot be removed, ``NoSuchRun`` for a run that is named.
    """
    before = time.time() - older_than
    with choice.opened(config) as studies:
        for chosen in studies:
            base, removed = chosen.base, Removed(chosen.base.study.name)
            _finish_earlier(base)
            numbers = {*chosen.named, *chosen.selected()}
            renew(base)
            for number in chosen.named:
                if number not in base.runs.entries:
                    raise NoSuchRun(f"study {base.study.name} has no run {number}")
            for batch in _batches(sorted(numbers)):
                _remove(base, batch, before, removed)
            yield removed


def _batches(numbers: Iterable[int]) -> Iterator[list[int]]:
    numbers = iter(numbers)
    while batch := list(itertools.islice(numbers, AT_ONCE)):
        yield batch


def _remove(base: StudyBase, numbers: Collection[int], before: float, removed: Removed) -> None:
    moved: dict[int, tuple[Path, Path, tuple[str, int]]] = {}
    known = {
        number: run
        for number, run in base.loaded((n, base.runs.entries.get(n)) for n in numbers)
        if run is not None
    }
    busy = running(base.study, {number: run.entries for number, run in known.items()})
    for number, run in known.items():
        directory = directory_of(base.study, run.entries)
        if directory is None or not directory.is_dir():
            continue
        if number in busy or state_of(run.entries) in UNENDED_STATES:
            removed.executed += 1
        elif _ended_at(run) <= before:
            away = directory.with_name(f"{_REMOVING}{directory.name}")
            _renamed(directory, away)
            moved[number] = (directory, away, _stand(run.entries))
    renew(base)
    for number, (directory, away, stand) in moved.items():
        run = base.runs.entries.get(number)
        if run is not None and _stand(run.entries) != stand:
            removed.executed += 1
            _put_back(away, directory)
            continue
        kept = [] if run is None else _kept(away, run)
        freed = used(away)
        for path in kept:
            target = directory / path.relative_to(away)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        _delete(away)
        removed.directories += 1
        removed.freed += freed - (used(directory) if kept else 0)


def _stand(entries: Mapping[str, Any]) -> tuple[str, int]:
    return state_of(entries), attempt_of(entries)


def _ended_at(run: Any) -> float:
    return OwnEntries(run.entries).attempt_ended or changed_at(run)


def _kept(directory: Path, run: Any) -> list[Path]:
    """The files in a directory that stay: of pushed quantities, and of when the run has ended."""
    names = {Path(path).name for path in run.quantities.values() if isinstance(path, str)}
    kept = [path for name in sorted(names) if (path := directory / name).is_file()]
    if OwnEntries(run.entries).attempt_ended is None:
        ours = (CLAIM, EXIT, EARLIER_EXIT)
        kept += [path for path in own_folder(directory).iterdir() if path.name.startswith(ours)]
    return kept


def _finish_earlier(base: StudyBase) -> None:
    """Go on with what a process was doing that was killed."""
    for away in runs_directory(base.study).glob(f"{_REMOVING}*"):
        directory = away.with_name(away.name.removeprefix(_REMOVING))
        if directory.exists():
            _delete(away)
        else:
            _renamed(away, directory)


def _put_back(away: Path, directory: Path) -> None:
    """Give a run its directory back, with what has been written into a new one meanwhile."""
    if directory.is_dir():
        for path in directory.iterdir():
            with contextlib.suppress(OSError):
                path.replace(away / path.name)
        with contextlib.suppress(OSError):
            directory.rmdir()
    _renamed(away, directory)


def _renamed(path: Path, target: Path) -> None:
    try:
        path.rename(target)
    except OSError as error:
        raise _cannot(path, error) from error


def _delete(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise _cannot(directory, error) from error


def _cannot(path: Path, error: OSError) -> CannotRemove:
    return CannotRemove(
        f"{error.filename or path} cannot be removed: {error.strerror or error}",
        hint="mend that, and call it again",
    )
