"""Warnings about a study's files, logged once when tasks are created."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from motoko.config import StudyConfig
from motoko.operations.file_warnings import script_warnings

if TYPE_CHECKING:
    from motoko.store.task_creator import TaskCreator

log = logging.getLogger(__name__)
_warned: set[str] = set()  # keys of the warnings that this process has logged


def warn_of_scripts(study: StudyConfig) -> None:
    """Warn of lines that a shell reads differently than they look; once per process and study."""
    key = f"scripts of {study.directory}"
    if key not in _warned:
        _warned.add(key)
        for text in script_warnings(study):
            log.warning("%s", text)


def warn_of_changes(creator: TaskCreator, run_name: str) -> None:
    """Warn that results made with other files are reused; once per process, study and run name."""
    changes = creator.changes
    outdated = changes.outdated if changes is not None else None
    if outdated is None:
        return
    key = f"{creator.base.study.directory} {run_name} {outdated.names}"
    if key not in _warned:
        _warned.add(key)
        log.warning("%s", creator.outdated(run_name))
