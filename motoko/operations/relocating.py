"""Correcting a study's records after a move or a copy, so that they name its current directory.

``run_path`` is BlackDynamite's entry: an absolute path, which its tools follow. Motoko itself uses
the study's location; this module corrects the paths that other programs read. ``.bd/place.json``
records the directory for which that was done last. If the directory of runs is a link, a similar
file in its target records which study's runs are there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeGuard

from motoko.config import StudyConfig
from motoko.errors import RunsElsewhere
from motoko.host.directories import DirectoryIdentity
from motoko.host.files import read_json, write_atomically
from motoko.runs.claims import disown
from motoko.runs.entries import OwnEntries
from motoko.runs.paths import present_directory, runs_directory
from motoko.runs.states import RUNNING_STATES, state_of
from motoko.store import zeo_conf
from motoko.store.base import StudyBase
from motoko.store.transactions import commit_now

log = logging.getLogger(__name__)

BATCH = 500
RUNS_OWNER = ".motoko-study.json"
# The entries of a batch job that the original study has submitted; a copy submits its own.
_OF_JOB = ("batch_name", "batch_job_id", "batch_state", "batch_nodes", "batch_system")


def relocate(base: StudyBase) -> int:
    """Have the runs of a study name their current directories, if the study was elsewhere before.

    In a copy, the runs' links to batch jobs that the original has submitted are removed.

    Returns:
        How many runs were changed.

    Raises:
        MotokoError: the study's directory of runs is a link to another study's.
    """
    study = base.study
    here = DirectoryIdentity.of(study.directory)
    _own_runs(study, here)
    place = study.database.place
    before = DirectoryIdentity.from_dict(read_json(place))
    if before is not None and before.is_same(here) and before.path == here.path:
        return 0
    copied = before is not None and not before.is_same(here) and before.path != here.path
    zeo_conf.forget_foreign(study.database)
    changed = 0
    for numbers in _batches(base):
        changed += commit_now(base, partial(_correct, base, numbers, before, copied))
    try:
        write_atomically(place, json.dumps(here.to_dict()))
    except OSError as error:
        log.warning("%s cannot be written: %s", place, error.strerror)
    if changed:
        was = before.path if before else "elsewhere"
        log.warning("the study was in %s: the paths of %d runs are corrected", was, changed)
    return changed


def _batches(base: StudyBase) -> Iterator[list[int]]:
    numbers = list(base.runs.entries)
    for start in range(0, len(numbers), BATCH):
        yield numbers[start : start + BATCH]


def _is_other(path: str, right: str) -> bool:
    """Whether a run's former study still exists, so that this study is a copy of it."""
    before, here = Path(path).parents[1], Path(right).parents[1]
    return before.exists() and not before.samefile(here)


def _is_inside(directory: Path | None, study: StudyConfig) -> TypeGuard[Path]:
    """Whether a run's directory is inside the study, and not elsewhere through a link or entry."""
    return directory is not None and directory.resolve().is_relative_to(study.directory.resolve())


def _correct(
    base: StudyBase, numbers: list[int], before: DirectoryIdentity | None, copied: bool
) -> int:
    changed = 0
    for _, run in base.loaded((n, base.runs.entries.get(n)) for n in numbers):
        if run is None:
            continue
        entries, own = run.entries, OwnEntries(run.entries)
        path, present = entries.get("run_path"), present_directory(base.study, run.entries)
        right = str(present)
        wrong_path = present is not None and path != right
        if wrong_path:
            entries["run_path"] = right
        is_copy = copied or (wrong_path and before is None and _is_other(path, right))
        if is_copy and state_of(entries) in RUNNING_STATES and _is_inside(present, base.study):
            disown(present, own.attempt)
        if is_copy and own.is_job:
            own.drop(*_OF_JOB)
        elif not wrong_path:
            continue
        changed += 1
    return changed


def _own_runs(study: StudyConfig, here: DirectoryIdentity) -> None:
    """Record in a directory of runs outside the study that it belongs to this study.

    Raises ``RunsElsewhere`` if its record names another study.
    """
    runs = runs_directory(study)
    if not runs.is_dir() or runs.resolve().is_relative_to(study.directory.resolve()):
        return
    path = runs / RUNS_OWNER
    owner = DirectoryIdentity.from_dict(read_json(path))
    if owner is not None and not owner.is_same(here) and owner.is_at(Path(owner.path)):
        raise RunsElsewhere(
            f"{runs} leads to {runs.resolve()}, where the runs of {owner.path} are",
            hint=f"this is a copy of that study: replace the link by a directory of its own "
            f"(rm {runs}; mkdir {runs})",
        )
    if owner is None or owner != here:
        write_atomically(path, json.dumps(here.to_dict()))
