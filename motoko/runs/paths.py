"""Where a study's runs are on disk, and the names of Motoko's files there.

Motoko's files are in the hidden folder ``.motoko`` of a run directory. Earlier versions wrote them
into the directory itself, and ``environment.sh`` into the folder: a run that such a version has
prepared keeps that layout until its next attempt is prepared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig
from motoko.config.run_files import OWN_FOLDER

# Files in the folder. The attempt's number is appended to the names of claims and exit records, and
# the submission's name to that of a file that closes it.
EXIT = "exit-"
EARLIER_EXIT = "exit.json"
CLAIM = "attempt-"
CLOSED = "closed-"
# The file that sets the environment of a launch.sh that is no shell script, and starts it.
ENVIRONMENT = f"{OWN_FOLDER}/start.sh"
EARLIER_ENVIRONMENT = f"{OWN_FOLDER}/environment.sh"


def runs_directory(study: StudyConfig) -> Path:
    """Where the runs of a study are executed."""
    directory = study.directory / f"BD-{study.bd_name}-runs"
    if study.bd_name != study.name:
        # Before Motoko used the name in bd.yaml, it used the directory's name.
        earlier = study.directory / f"BD-{study.name}-runs"
        if earlier.is_dir() and not directory.exists():
            return earlier
    return directory


def run_directory(study: StudyConfig, number: int) -> Path:
    """Where a run is executed."""
    return runs_directory(study) / f"run-{number}"


def recorded_directory(entries: Mapping[str, Any]) -> Path | None:
    """The directory that a run's entries name, if it is a path: a run may have spoilt the entry."""
    path = entries.get("run_path")
    return Path(path) if isinstance(path, str) and path and "\0" not in path else None


def run_of(study: StudyConfig, place: Path) -> int | None:
    """The run whose directory a place is, or is in; ``None`` for any other place."""
    runs = Path(os.path.realpath(runs_directory(study)))
    if not place.is_relative_to(runs) or place == runs:
        return None
    name, _, number = place.relative_to(runs).parts[0].partition("-")
    return int(number) if name == "run" and number.isdecimal() else None


def present_directory(study: StudyConfig, entries: Mapping[str, Any]) -> Path | None:
    """Where a run's directory is now; ``None`` if it has none yet.

    Its ``run_path`` is where the directory was when the run was executed. The study may have been
    moved since then; and if it was copied, the runs of the copy are in the copy.
    """
    path, number = recorded_directory(entries), entries.get("id")
    if path is None:
        return None
    for name in (study.bd_name, study.name):
        usual = f"BD-{name}-runs/run-{number}"
        if str(path).endswith(f"/{study.directory.name}/{usual}"):
            return study.directory / usual
    return path


def own_folder(directory: Path) -> Path:
    """Where Motoko's files of a run are: ``.motoko``, or the directory itself in the old layout.

    Raises ``OSError`` if that cannot be found out now.
    """
    return directory / own_folder_in(directory)


def own_folder_in(directory: Path) -> str:
    """Where Motoko's files are, as seen from the run's directory: ``.motoko`` or ``.``.

    Raises ``OSError`` as :func:`own_folder` does.
    """
    place = os.fspath(directory)
    is_earlier = not _exists(f"{place}/{OWN_FOLDER}") or _exists(f"{place}/{EARLIER_ENVIRONMENT}")
    return "." if is_earlier else OWN_FOLDER


def claim_path(directory: Path, attempt: int) -> Path:
    """The file that says which process has started an attempt. The process that makes it starts it.

    Raises ``OSError`` if its folder cannot be found out now, as the next three functions do.
    """
    return directory / f"{own_folder_in(directory)}/{CLAIM}{attempt}"


def exit_path(directory: Path, attempt: int) -> Path:
    """The file that says how an attempt ended: one each, since a fenced attempt may end late."""
    return directory / f"{own_folder_in(directory)}/{EXIT}{attempt}.json"


def earlier_exit_path(directory: Path) -> Path:
    """Where earlier versions recorded how the last attempt ended."""
    return directory / f"{own_folder_in(directory)}/{EARLIER_EXIT}"


def closed_path(directory: Path, submission: str) -> Path:
    """The file that keeps a submission's job from starting anything."""
    return directory / f"{own_folder_in(directory)}/{CLOSED}{submission}"


def _exists(path: str) -> bool:
    """Whether a path exists. Unlike ``Path.exists``, it raises other errors than its absence."""
    try:
        os.stat(path)  # noqa: PTH116 (for each run several times: a Path takes longer than the call)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
