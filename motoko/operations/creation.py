"""Creating a workflow's studies, and resetting those that exist."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control import supervisor_lock
from motoko.control.daemon_records import refuse_guests
from motoko.host.accounts import own_name
from motoko.host.durations import counted
from motoko.host.locks import check_locks
from motoko.host.terminal import confirmed

if TYPE_CHECKING:
    from motoko.store.study_database import Contents


def existing(config: WorkflowConfig) -> dict[str, Contents]:
    """The contents that would be lost: those of the local studies that have a database."""
    from motoko.store.study_database import contents

    return {s.name: contents(s) for s in config.studies.values() if s.is_local and s.created}


def create_workflow(config: WorkflowConfig, *, validated: bool, keep: bool = False) -> bool:
    """Initialise the database of every local study; leaves nothing running.

    Existing databases are reset, with ``.wf``, if ``validated`` or if a question on the terminal is
    answered with yes; otherwise, and if ``keep``, they are kept and only missing ones are created.

    Returns:
        Whether the existing databases were reset (``True`` if there were none).

    Raises:
        NamelessAccount: the account has no name; BlackDynamite names studies by it.
        NoLocks: the file system of a study does not support locks.
        NotConfirmed: databases exist, and there is no terminal to ask on.
        AlreadySupervised: a supervisor on another host uses them.
    """
    from motoko.store.study_database import create_study

    studies = [study for study in config.studies.values() if study.is_local]
    _check_place(config, config.directory, *(study.directory for study in studies))
    lost = existing(config)
    reset = not keep and (not lost or validated or _is_meant(config, lost))
    if lost and reset:
        stop_everything(config)
    if reset:
        shutil.rmtree(config.directory / ".wf", ignore_errors=True)
    for study in studies:
        if reset or not study.created:
            create_study(study)
    return reset


def create_one(config: WorkflowConfig, study: StudyConfig) -> None:
    """Initialise one study's database; its previous contents are deleted. Leaves nothing running.

    Raises ``AlreadySupervised`` if a supervisor on another host uses it.
    """
    from motoko.store.study_database import create_study

    _check_place(config, study.directory)
    stop_everything(config)
    create_study(study)


def _check_place(config: WorkflowConfig, *directories: Path) -> None:
    """Raise, before anything is deleted, whatever would prevent making databases here."""
    refuse_guests(config)
    supervisor_lock.refuse_elsewhere(config)
    own_name()
    for directory in directories:
        check_locks(directory)


def stop_everything(config: WorkflowConfig) -> None:
    """Stop the workflow's supervisor and daemons, if there are any, before files are replaced.

    Daemons of BlackDynamite and of motoko 0.1.4 are stopped, too.
    """
    from motoko.operations.stopping import end_foreign, ignore, stop
    from motoko.store.blackdynamite_daemons import foreign_daemons

    stop(config, command="motoko create")
    end_foreign(foreign_daemons(config), ignore)


def describe(lost: Mapping[str, Contents]) -> str:
    """The contents that would be lost, in a line for each study."""
    return "\n".join(
        f"  {name}: {counted(held.jobs, 'job')}, {counted(held.runs, 'run')}"
        for name, held in lost.items()
    )


def _is_meant(config: WorkflowConfig, lost: Mapping[str, Contents]) -> bool:
    text = f"{config.path}: these studies exist, and a reset would lose\n{describe(lost)}"
    hint = "--missing keeps them and makes only what is missing; --yes (or --validated) resets them"
    return confirmed(text, "Reset them?", hint)
