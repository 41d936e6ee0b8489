"""The values that replace the placeholders in a run's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from motoko.runs.entries import documented
from motoko.runs.entry_table import OWN, PREFIX
from motoko.store import config_files
from motoko.store.base import StudyBase


def placeholder_values(
    base: StudyBase, run: Any, job: Any, *, attempt: int, directory: Path
) -> dict[str, Any]:
    """The values, by lower-case name, for an attempt of a run, executed in ``directory``."""
    entries = run.entries
    # The job's entries win: `id` is the job's.
    return {
        **dict.fromkeys(OWN),
        **documented(entries),
        "attempt": attempt,
        "run_path": str(directory),
        "blackdynamite_version": config_files.BLACKDYNAMITE_VERSION,
        **{name: value for name, value in entries.items() if not name.startswith(PREFIX)},
        **dict(job.entries.items()),
        "dbhost": base.host,
        "study": base.schema,
        "run_id": entries["id"],
    }
