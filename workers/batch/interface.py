"""What Motoko asks of a batch system, and what it is told. Pure.

A batch system is a class with these four calls. Ids are texts: an element of a job array has one
of its own (``17_3``), so that a system may submit many runs as one array.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from motoko.errors import MotokoError


class Phase(Enum):
    """How far a job has come."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class Job:
    """What a scheduler says of a job.

    Attributes:
        id: the scheduler's.
        name: under which it was submitted.
        state: in the scheduler's word.
        phase: what that means.
        reason: why it waits, or why it ended, in the scheduler's word; empty if it says none.
        nodes: where it runs or ran.
        problem: of one that has ended: what the scheduler has done to it, in a few words; empty
            if launch.sh's exit code tells.
        final: of one that has ended: somebody wanted that, it is not to be tried again.
        hopeless: of one that waits: why it can never start; empty otherwise.
    """

    id: str
    name: str
    state: str
    phase: Phase
    reason: str = ""
    nodes: str = ""
    problem: str = ""
    final: bool = False
    hopeless: str = ""

    @property
    def said(self) -> str:
        """State and reason, as the scheduler says them."""
        return f"{self.state} ({self.reason})" if self.reason else self.state


@dataclass(frozen=True)
class Submission:
    """A job to be submitted.

    Attributes:
        name: unique; by it the job is found if its id was not told.
        directory: in which it works.
        script: what it executes, and ``arguments`` of that.
        options: further arguments of the submit command.
    """

    name: str
    directory: Path
    script: Path
    arguments: Sequence[str]
    options: Sequence[str]


class Refused(MotokoError):
    """The scheduler has refused a job, in its words: nothing was queued."""


class Full(MotokoError):
    """The scheduler takes no more jobs now, in its words: nothing was queued, later it may be."""


class Unanswered(MotokoError):
    """The scheduler gave no answer: nothing is known, a job may have been queued."""


class BatchSystem(Protocol):
    """A scheduler, as one user sees it. Every call issues one command, whatever the number."""

    name: str

    async def submit(self, submission: Submission) -> str:
        """Submit a job; returns its id. Raises ``Refused``, ``Full`` or ``Unanswered``."""

    async def query(self) -> list[Job]:
        """All jobs of this user that the scheduler shows. Raises ``Unanswered``."""

    async def look_up(self, ids: Collection[str]) -> Mapping[str, Job]:
        """What accounting and the controller know of jobs that the query does not show any more.

        Those that are known to nobody are left out. Raises ``Unanswered``.
        """

    def last_words(self, directory: Path, job: str) -> str:
        """What the system has written last into the output of a job that worked in a directory."""

    async def cancel(self, ids: Collection[str], *, pending: bool = False) -> None:
        """Have jobs ended, those that have gone already left alone. Raises ``Unanswered``.

        With ``pending`` only those that wait: what runs goes on.
        """
