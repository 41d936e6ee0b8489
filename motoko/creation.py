"""Creating a workflow's studies, and resetting those that exist."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError

if TYPE_CHECKING:
    from motoko.bd.create import Contents


def existing(config: WorkflowConfig) -> dict[str, Contents]:
    """What would be lost: the contents of the local studies that have a database."""
    from motoko.bd.create import contents

    return {s.name: contents(s) for s in config.studies.values() if s.is_local and s.created}


def create_workflow(config: WorkflowConfig, *, validated: bool) -> bool:
    """Initialise the database of every local study; leaves nothing running.

    Existing ones are reset, with ``.wf``, if ``validated`` or if a question on the terminal is
    answered with yes; else they are kept and only missing ones are made.

    Returns:
        Whether the existing ones were reset (``True`` if there were none).

    Raises:
        MotokoError: some exist, and there is no terminal to ask on.
    """
    from motoko.bd.create import create_study

    studies = [study for study in config.studies.values() if study.is_local]
    lost = existing(config)
    reset = not lost or validated or _ask(config, lost)
    if lost and reset:
        stop_everything(config)
    if reset:
        shutil.rmtree(config.directory / ".wf", ignore_errors=True)
    for study in studies:
        if reset or not study.created:
            create_study(study)
    return reset


def create_one(config: WorkflowConfig, study: StudyConfig) -> None:
    """Initialise one study's database; what was there is gone. Leaves nothing running."""
    from motoko.bd.create import create_study

    stop_everything(config)
    create_study(study)


def stop_everything(config: WorkflowConfig) -> None:
    """Stop the workflow's supervisor and daemons, if there are any: files are to be replaced."""
    from motoko.control import stop

    stop(config)


def describe(lost: Mapping[str, Contents]) -> str:
    """What would be lost, in a line for each study."""
    return "\n".join(f"  {name}: {held.jobs} jobs, {held.runs} runs" for name, held in lost.items())


def _ask(config: WorkflowConfig, lost: Mapping[str, Contents]) -> bool:
    text = f"{config.path}: these studies exist, and a reset would lose\n{describe(lost)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MotokoError(text, hint="`motoko create --validated` resets them without asking")
    print(text, file=sys.stderr)
    print("Reset them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
