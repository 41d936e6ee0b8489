"""Creating, counting and resetting a study's database."""

from __future__ import annotations

import getpass
import shutil
from dataclasses import dataclass
from typing import Any

from motoko.bd.base import open_file
from motoko.config import StudyConfig


@dataclass(frozen=True)
class Contents:
    """What a study's database holds."""

    jobs: int
    runs: int


def create_study(study: StudyConfig) -> None:
    """Initialise a study's database through BlackDynamite; what was there is gone.

    The study must not be served by anybody. No server is started.
    """
    bd_dir = study.directory / ".bd"
    shutil.rmtree(bd_dir, ignore_errors=True)
    shutil.rmtree(study.directory / f"BD-{study.name}-runs", ignore_errors=True)
    bd_dir.mkdir()
    base = open_file(study, schema=f"{getpass.getuser()}_{study.name}")
    try:
        base.createBase(
            _description(base.Job(), study.jobs), _description(base.Run(), study.runs), yes=True
        )
    finally:
        base.close()


def _description(parameters: Any, types: Any) -> Any:
    for name, kind in types.items():
        parameters.types[name] = kind
    return parameters


def contents(study: StudyConfig) -> Contents:
    """How many jobs and runs a created study holds. Served or not, it is only read."""
    base = open_file(study, read_only=True)
    try:
        content = base.content
        return Contents(len(content["Jobs"].entries), len(content["Runs"].entries))
    finally:
        base.close()
