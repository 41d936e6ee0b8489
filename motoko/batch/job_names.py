"""The names of jobs: by them a job is recognised, whatever was lost. Pure logic.

An array has the name that its first run's job would have alone. What the scheduler tells of an
element is taken for a job of the element's own run: so each of them is found by name, whether it
was submitted in an array or not.
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
# How many names have one token: those of runs that may be elements of one array.
TOKEN_MAX = 10_000
_NAME = re.compile(r"(.+\.)(\d+)(\.\d+-[0-9a-f]{20})")


@dataclass
class Names:
    """The names of a workflow's jobs."""

    workflow: Path
    _token: str = ""
    _given: set[tuple[str, int, int]] = field(default_factory=set)  # with that token

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

    @property
    def are_ours(self) -> Callable[[str], bool]:
        """Whether a job of this name is one of this workflow's."""
        pattern = re.compile(rf".+-{self._mark}[0-9a-f]{{10}}")
        return lambda name: pattern.fullmatch(name) is not None


def parts(name: str) -> tuple[str, int, str] | None:
    """What stands before a run's number in its job's name, that, and the rest.

    ``None`` for a name that is none of Motoko's.
    """
    matched = _NAME.fullmatch(name)
    return None if matched is None else (matched[1], int(matched[2]), matched[3])


def of_element(name: str, index: int) -> str:
    """The name of an element of an array that has a name; that itself, if it is none of ours."""
    matched = parts(name)
    return name if matched is None else f"{matched[0]}{matched[1] + index}{matched[2]}"
