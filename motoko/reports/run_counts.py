"""Looking at all runs of a study once, in few round trips."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motoko.errors import ConfigError
from motoko.reports.overview import Overview
from motoko.runs.claims import recorded_at
from motoko.runs.entries import OwnEntries
from motoko.runs.paths import present_directory
from motoko.store.changed_files import FileChanges
from motoko.store.present_files import StudyFiles
from motoko.store.trees import children

if TYPE_CHECKING:
    from motoko.store.base import StudyBase

log = logging.getLogger(__name__)


def overview_of(base: StudyBase, run_name: str | None, *, keep: bool) -> Overview:
    """What the runs are at (of a run_name, or all); it counts their jobs, or all there are.

    With ``keep`` every run is kept, and not only those that have failed.
    """
    overview = Overview(base.study.name, environment=base.study.policy.environment)
    now = time.time()
    changes = _changes(base)
    _load_leaves(base, base.runs.entries)
    for run in base.all_runs():
        entries = run.entries
        if run_name is None or entries.get("run_name") == run_name:
            directory = present_directory(base.study, entries)
            overview.add(entries, directory, ended_at(entries, directory), now, keep=keep)
            if changes is not None:
                changes.add(run)
    overview.outdated = None if changes is None else changes.outdated
    if run_name is None:
        _load_leaves(base, base.jobs.entries)
        overview.job_count = len(base.jobs.entries)
    else:
        overview.job_count = len(overview.jobs)
    return overview


def _changes(base: StudyBase) -> FileChanges | None:
    """What compares runs with the study's files; ``None`` for who may not read these."""
    try:
        return FileChanges(base, StudyFiles(base.study, keeping=False).present())
    except ConfigError as error:
        log.info("%s", error)
        return None


def ended_at(entries: Mapping[str, Any], directory: Path | None) -> float | None:
    """When a run that has started ended (seconds since 1970), as its exit record tells."""
    if entries.get("start_time") is None or directory is None:
        return None
    return recorded_at(directory, OwnEntries(entries).attempt)


def _load_leaves(base: StudyBase, tree: Any) -> None:
    """Have all records of a container itself loaded, instead of one after the other."""
    level = [tree]
    while level:
        level = [node for above in level for node in children(above)]
        base.prefetch(level)
