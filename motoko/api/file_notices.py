"""What is said once, in the log, when tasks are created: what to know of the study's files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from motoko.config import StudyConfig
from motoko.operations.file_warnings import script_warnings

if TYPE_CHECKING:
    from motoko.store.task_creator import TaskCreator

log = logging.getLogger(__name__)
_warned: set[str] = set()  # texts, and studies with the files that were compared


def warn_of_scripts(study: StudyConfig) -> None:
    """Say what shells read otherwise than it looks; once a process."""
    key = f"scripts of {study.directory}"
    if key not in _warned:
        _warned.add(key)
        for text in script_warnings(study):
            log.warning("%s", text)


def warn_of_changes(creator: TaskCreator, run_name: str) -> None:
    """Say that results are taken that were made with other files; once a process and study."""
    changes = creator.changes
    outdated = changes.outdated if changes is not None else None
    if outdated is None:
        return
    key = f"{creator.base.study.directory} {run_name} {outdated.names}"
    if key not in _warned:
        _warned.add(key)
        log.warning("%s", creator.outdated(run_name))
