"""Looking at all runs of a study once, in few round trips."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motoko.bd.trees import children
from motoko.overview import Overview

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase


def overview_of(base: StudyBase, run_name: str | None, *, keep: bool) -> tuple[Overview, int]:
    """What the runs are at (of a run_name, or all), and how many jobs they belong to, or exist.

    With ``keep`` every run is kept, and not only those that have failed.
    """
    overview, now = Overview(base.study.name), time.time()
    _load_leaves(base, base.runs.entries)
    for run in base.all_runs():
        entries = run.entries
        if run_name is None or entries.get("run_name") == run_name:
            overview.add(entries, ended_at(entries), now, keep=keep)
    if run_name is not None:
        return overview, len(overview.jobs)
    _load_leaves(base, base.jobs.entries)
    return overview, len(base.jobs.entries)


def ended_at(entries: Mapping[str, Any]) -> float | None:
    """When a run that has started ended (seconds since 1970), as its exit record tells."""
    if entries.get("start_time") is None or not entries.get("run_path"):
        return None
    try:
        return Path(entries["run_path"], "exit.json").stat().st_mtime
    except OSError:
        return None


def _load_leaves(base: StudyBase, tree: Any) -> None:
    """Have all records of a container itself loaded, instead of one after the other."""
    level = [tree]
    while level:
        level = [node for above in level for node in children(above)]
        base.prefetch(level)
