"""How many jobs a workflow may have in the queue: shared by its launchers through files.

Each launcher notes how many jobs its study has. A launcher that is killed leaves its note, which
stays right: its jobs go on, and its successor counts them again.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Collection, Iterator
from pathlib import Path

from motoko.runtime import write_atomically


class Room:
    """The room for the jobs of one study.

    Args:
        directory: where the notes are.
        study: whose.
        studies: all of the workflow's.
        limit: how many jobs all of them may have; ``None``: any number.
    """

    def __init__(
        self, directory: Path, study: str, studies: Collection[str], limit: int | None
    ) -> None:
        self._directory = directory
        self._study = study
        self._others = [name for name in studies if name != study]
        self._limit = limit
        self._noted: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    def free(self, mine: int) -> int | None:
        """How many jobs may be added to ``mine``; ``None`` if that is not limited."""
        if self._limit is None:
            return None
        return max(0, self._limit - mine - counted(self._directory, self._others))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who looks and notes."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with open(self._directory / "jobs.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def note(self, mine: int) -> None:
        """This study has so many jobs."""
        if self._limit is not None and mine != self._noted:
            self._directory.mkdir(parents=True, exist_ok=True)
            # Others read it at any time.
            write_atomically(self._directory / f"jobs-{self._study}", f"{mine}\n")
            self._noted = mine


def counted(directory: Path, studies: Collection[str]) -> int:
    """How many jobs some studies have, as their launchers have noted."""
    return sum(_count(directory / f"jobs-{study}") for study in studies)


def _count(note: Path) -> int:
    try:
        return int(note.read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0
