"""How many jobs a workflow may have in the queue: shared by its launchers through files.

Each launcher notes how many jobs its study has, and whether more wait. While other studies wait,
a study gets no more than its equal share. A launcher that is killed leaves its note, which stays
right: its jobs go on, and the next launcher counts them again.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from motoko.host.files import write_atomically
from motoko.host.locks import locked

_WAITING = "waiting"


class Room:
    """The room for the jobs of one study.

    Args:
        directory: where the notes are.
        study: the study's name.
        studies: the names of all studies of the workflow.
        limit: how many jobs all studies together may have; ``None``: any number.
    """

    def __init__(
        self, directory: Path, study: str, studies: Collection[str], limit: int | None
    ) -> None:
        self._directory = directory
        self._study = study
        self._others = [name for name in studies if name != study]
        self._limit = limit
        self._noted = ""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    def take(self, mine: int, wanted: int) -> int:
        """How many of the wanted jobs may be added to ``mine``; notes them."""
        if self._limit is None:
            return wanted
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / "jobs.lock"):
            waiting = sum(_read(self._directory, name)[1] for name in self._others)
            others = counted(self._directory, self._others)
            share = max(1, self._limit // (1 + waiting)) if waiting else self._limit
            granted = max(0, min(wanted, self._limit - mine - others, share - mine))
            self.note(mine + granted, waiting=granted < wanted)
        return granted

    def note(self, mine: int, *, waiting: bool) -> None:
        """Note how many jobs this study has, and whether more wait for room."""
        text = f"{mine} {_WAITING}\n" if waiting else f"{mine}\n"
        if self._limit is not None and text != self._noted:
            self._directory.mkdir(parents=True, exist_ok=True)
            # Atomically, since other launchers may read it at any time.
            write_atomically(self._directory / f"jobs-{self._study}", text)
            self._noted = text


def counted(directory: Path, studies: Collection[str]) -> int:
    """How many jobs some studies have, as their launchers have noted."""
    return sum(_read(directory, study)[0] for study in studies)


def _read(directory: Path, study: str) -> tuple[int, bool]:
    """How many jobs a study has, and whether more wait."""
    try:
        words = (directory / f"jobs-{study}").read_text().split()
        return int(words[0]), _WAITING in words
    except (FileNotFoundError, ValueError, IndexError):
        return 0, False
