"""Fences: for attempts that were declared dead although processes of them may still live somewhere.

Motoko cannot end a process on a node that cannot be reached any more, or on a host that another
host has taken over from. So before such an attempt is settled, it is fenced: from then on the
study's server lets none of its processes commit. (These connect through the channel, and say which
attempt they belong to.) A fence is a file, and stays as long as the run does.

The launcher or command that settles an attempt makes its fence first, and reads the run's entries
only then: what the attempt had committed before counts, and nothing that it commits later.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from motoko.host.files import contents, write_durably
from motoko.layout import channel_directory, file_name

FENCED = "fenced"  # in the channel's directory, with a folder for each study
_NAME = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Fence:
    """The fence of an attempt, whose processes cannot commit any more.

    Attributes:
        reason: why the attempt was declared dead.
        since: when it was, in seconds since 1970.
    """

    reason: str
    since: float


def fence(directory: Path, study: str, run_id: int, attempt: int, reason: str) -> None:
    """Keep the processes of an attempt from committing from now on.

    Does nothing in a workflow without a channel: all of its clients are on this host. An attempt
    that is fenced already keeps its reason.

    Args:
        directory: the workflow's directory.
        study: the name of the run's study.

    Raises ``OSError`` if the fence cannot be written: then the attempt must not be settled now.
    """
    path = _path(directory, study, run_id, attempt)
    if not channel_directory(directory).is_dir() or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, f"{reason}\n")


def reason_of(directory: Path, study: str, run_id: int, attempt: int) -> str | None:
    """Why an attempt is fenced; ``None`` if it is not.

    Raises ``OSError`` if that cannot be read now.
    """
    data = contents(_path(directory, study, run_id, attempt))
    return None if data is None else data.decode(errors="replace").strip() or "it is fenced"


def fences(directory: Path, study: str, run_id: int | None = None) -> dict[tuple[int, int], Fence]:
    """The fences of a study, or of one run, by run and attempt. Raises ``OSError``."""
    known: dict[tuple[int, int], Fence] = {}
    try:
        paths = sorted(fences_directory(directory, study).iterdir())
    except FileNotFoundError:
        return known
    for path in paths:
        key = _key(path)
        if key is None or run_id not in (None, key[0]):
            continue
        if (reason := reason_of(directory, study, *key)) is not None:
            known[key] = Fence(reason, path.stat().st_mtime)
    return known


def remove_fences(directory: Path, study: str, gone: Collection[int]) -> None:
    """Remove the fences of runs that are gone. Raises ``OSError``."""
    for key in fences(directory, study):
        if key[0] in gone:
            _path(directory, study, *key).unlink(missing_ok=True)


@functools.cache
def fences_directory(directory: Path, study: str) -> Path:
    """Where the fences of a study are."""
    return channel_directory(directory) / FENCED / file_name(study)


def _path(directory: Path, study: str, run_id: int, attempt: int) -> Path:
    return fences_directory(directory, study) / f"{run_id}-{attempt}"


def _key(path: Path) -> tuple[int, int] | None:
    match = _NAME.fullmatch(path.name)
    return None if match is None else (int(match[1]), int(match[2]))
