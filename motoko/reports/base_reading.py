"""A study's base for commands that only read, and a run in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError, StudyUnavailable
from motoko.runs.outputs import outputs_of
from motoko.runs.paths import present_directory

if TYPE_CHECKING:
    from motoko.store.base import StudyBase


@contextlib.contextmanager
def reading_base(config: WorkflowConfig, study: StudyConfig) -> Iterator[tuple[StudyBase, bool]]:
    """A study's base, and whether its server answers; if not, the base is read from the file.

    Raises ``NotCreated``, or ``StudyUnavailable`` if there is no file on this host.
    """
    from motoko.control.study_access import opened
    from motoko.store.base import open_file

    with contextlib.ExitStack() as stack:
        try:
            base = stack.enter_context(opened(config, study, read_only=True))
            answers = True
        except StudyUnavailable:
            if not study.is_local:
                raise
            base, answers = open_file(study, read_only=True), False
            stack.callback(base.close)
        yield base, answers


def run_in(base: StudyBase, study: StudyConfig, number: int) -> tuple[Any, dict[str, Any]]:
    """A run of a base, and its entries, in which ``run_path`` is its present directory.

    Raises ``ConfigError`` if there is no run of that number.
    """
    run = base.runs.entries.get(number)
    if run is None:
        raise ConfigError(
            f"study {study.name} has no run {number}",
            hint=f"{base.known_runs}: see `motoko info`",
        )
    entries = dict(run.entries.items())
    if (directory := present_directory(study, entries)) is not None:
        entries["run_path"] = str(directory)
    return run, entries


def outputs_in(config: WorkflowConfig, study: StudyConfig, number: int) -> list[Path]:
    """The output files of a run, those of earlier attempts first.

    Raises what :func:`reading_base` and :func:`run_in` do.
    """
    with reading_base(config, study) as (base, _):
        return outputs_of(run_in(base, study, number)[1])
