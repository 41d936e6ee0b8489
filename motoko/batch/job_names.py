"""The names of jobs: a job is recognised by its name, whatever else was lost. Pure logic.

An array has the name that its first run's job would have alone. An element that the scheduler
shows is given the name that its own run's job would have alone: so each job is found by name,
whether it was submitted in an array or not. The packs of an array are numbered from the first run
of the first pack on.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

STUDY_MAX = 60  # characters of a job's name
# At most this many names share a token. Only runs whose names share one can be in the same array.
TOKEN_MAX = 10_000
_NAME = re.compile(r"(.+\.)(\d+)(\.\d+-[0-9a-f]{20})")


@dataclass
class Names:
    """The names of a workflow's jobs."""

    workflow: Path
    _token: str = ""
    _given: set[tuple[str, int, int]] = field(default_factory=set)  # the names with that token

    @property
    def _mark(self) -> str:
        return hashlib.sha256(os.fsencode(os.path.realpath(self.workflow))).hexdigest()[:10]

    def new(self, study: str, run_id: int, attempt: int) -> str:
        """A name that no other job has ever had: a study that was reset starts at run 1 again."""
        key = study, run_id, attempt
        if not self._token or key in self._given or len(self._given) >= TOKEN_MAX:
            self._token = secrets.token_hex(5)
            self._given.clear()
        self._given.add(key)
        return f"{study[:STUDY_MAX]}.{run_id}.{attempt}-{self._mark}{self._token}"

    def fresh(self, study: str, run_id: int, attempt: int) -> str:
        """A name with a token of its own, which no other name shares."""
        return f"{study[:STUDY_MAX]}.{run_id}.{attempt}-{self._mark}{secrets.token_hex(5)}"

    @property
    def are_ours(self) -> Callable[[str], bool]:
        """A function that says whether a job of a name is one of this workflow's."""
        pattern = re.compile(rf".+-{self._mark}[0-9a-f]{{10}}")
        return lambda name: pattern.fullmatch(name) is not None


def parts(name: str) -> tuple[str, int, str] | None:
    """The parts of a job's name: what precedes the run's number, the number, and the rest.

    ``None`` for a name that Motoko has not made.
    """
    matched = _NAME.fullmatch(name)
    return None if matched is None else (matched[1], int(matched[2]), matched[3])


def attempt_of(name: str) -> int:
    """The attempt that a name was made for; 1 for a name that Motoko has not made."""
    matched = _NAME.fullmatch(name)
    return 1 if matched is None else int(matched[3][1:].partition("-")[0])


def of_element(name: str, index: int) -> str:
    """The name of an element of an array; the array's name itself if Motoko has not made it."""
    matched = parts(name)
    return name if matched is None else f"{matched[0]}{matched[1] + index}{matched[2]}"
