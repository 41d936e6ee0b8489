"""The interface to a batch system: what Motoko asks of it, and what it answers.

A batch system is a folder next to this file that offers one object of the type ``BatchSystem``, and
a line in :mod:`motoko.batch.registry`. Its scheduler is asked by a few calls. If a system has
arrays, many runs are submitted as one. Ids are texts: an element of an array has an id of its own
(``17_3``), and a name of its own (:func:`motoko.batch.job_names.of_element`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from motoko.errors import MotokoError

if TYPE_CHECKING:
    from motoko.batch.commands import Commands

# The bounds of the seconds between two queries: users share a scheduler.
POLL_LEAST_S = 5.0
POLL_MOST_S = 120.0

# How long to wait for the exit record of a job that is over, unless the user sets it.
LATE_RECORD_S = 60.0

Options = Mapping[str, str | None]
"""Options of a submit command: full names and values, ``None`` for an option that takes none."""


class Phase(Enum):
    """How far a job has come."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class Job:
    """What a scheduler says of a job.

    Attributes:
        id: the scheduler's id of the job.
        name: the name under which it was submitted.
        state: its state, in the scheduler's word.
        phase: what the state means.
        reason: why it waits, or why it ended, in the scheduler's word; empty if it gives none.
        nodes: where it runs or ran.
        problem: if it has ended: what the scheduler has done to it, in a few words; empty if
            launch.sh's exit code tells why it ended.
        final: whether a user has ended it, so that there must be no other attempt.
        hopeless: why it can never start, if it waits; else empty.
        if_unstarted: whether all this is only inferred from the job's absence: it holds only if the
            job has never started.
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
    if_unstarted: bool = False

    @property
    def state_shown(self) -> str:
        """State and reason, in the scheduler's words."""
        return f"{self.state} ({self.reason})" if self.reason else self.state


@dataclass(frozen=True)
class Submission:
    """A job to be submitted, or an array of jobs.

    Attributes:
        name: a unique name, by which the job is found if its id is not known.
        directory: its working directory.
        script: the script that it executes; ``arguments``: the script's arguments.
        options: the user's options for the submit command.
        elements: the indices of an array's elements, in order; empty for a job.
    """

    name: str
    directory: Path
    script: Path
    arguments: Sequence[str]
    options: Sequence[str]
    elements: Sequence[int] = ()


@dataclass(frozen=True)
class ArrayLimits:
    """Which arrays a scheduler takes.

    Attributes:
        span: the indices of elements must be less than this.
        elements: how many elements an array may have.
        jobs: how many jobs a user may have in the queue; ``None``: any number, or it is not known.
    """

    span: int
    elements: int
    jobs: int | None = None


class JobRefused(MotokoError):
    """The scheduler has refused a job: nothing was queued. The text has the scheduler's words."""


class QueueFull(MotokoError):
    """The scheduler takes no more jobs now: nothing was queued; it may be tried again later."""


class SchedulerSilent(MotokoError):
    """The scheduler gave no answer: nothing is known, and a job may have been queued."""


class WrongOption(ValueError):
    """An option that cannot be given. Its text says why."""


@dataclass(frozen=True)
class JobOptions:
    """The options that a job is submitted with, as the user has chosen them.

    Attributes:
        arguments: the options as arguments of the submit command.
        has_output, has_error: whether the user has named a file for the job's standard output, or
            standard error.
        is_alone: whether the options would mean something else for an element of an array.
        limit: how long the job may take, in seconds; ``None`` if no option says so.
    """

    arguments: Sequence[str]
    has_output: bool = False
    has_error: bool = False
    is_alone: bool = False
    limit: float | None = None


@dataclass(frozen=True)
class ShellVariables:
    """Words of a job's shell script by which the system tells the job of itself: ``$JOB_ID``, say.

    Attributes:
        job: the job's id; for an element of an array, its own.
        restarts: how often the system has started the job again; empty or 0 at the first start.
        nodes: where it runs.
        other_nodes: how many nodes it has besides the one that executes its script.
        on_other_nodes: a command that executes the command after it once on each of those nodes,
            for as long as its own standard input is open, and passes on the output; empty if there
            is none.
        element: the index of an element of an array, 0 in any other job; empty if the system has no
            arrays.
        directory: the name of the variable that holds the directory of the submission.
        output: the file in the submission's directory where the system writes a job's output.
    """

    job: str
    restarts: str
    nodes: str
    other_nodes: str = "0"
    on_other_nodes: str = ""
    element: str = ""
    directory: str = ""
    output: str = ""


class Scheduler(Protocol):
    """A scheduler, as one user sees it. Every call issues few commands, for any number of jobs."""

    async def submit(self, submission: Submission) -> str:
        """Submit a job, or an array; returns its id.

        The element with the index 3 of an array has the id ``<id>_3``. Raises ``JobRefused`` or
        ``QueueFull`` if nothing was queued, ``SchedulerSilent`` if that is not known.
        """

    async def array_limits(self) -> ArrayLimits:
        """Which arrays it takes, if the system has any. Raises ``SchedulerSilent``."""

    async def query(self) -> list[Job]:
        """All jobs of this user that the scheduler shows. Raises ``SchedulerSilent``."""

    async def look_up(self, ids: Collection[str]) -> Mapping[str, Job]:
        """What accounting and the controller know of jobs that the query does not show any more.

        Jobs that neither of them knows are left out. Raises ``SchedulerSilent``.
        """

    async def memory_of(self, ids: Collection[str]) -> Mapping[str, int]:
        """The most memory that each of these jobs has had, in bytes, as accounting knows it.

        Jobs that it does not know are left out; all of them if there is none.
        """

    async def cancel(
        self, ids: Collection[str], *, names: Collection[str] = (), pending: bool = False
    ) -> None:
        """Cancel jobs; those that are over already are ignored. Raises ``SchedulerSilent``.

        Args:
            ids: the jobs' ids.
            names: submissions whose jobs' ids are not known; only jobs of this user are cancelled.
            pending: cancel only jobs that wait; those that run go on.
        """


class BatchSystem(Protocol):
    """A batch system: all that the rest of Motoko knows of it.

    Attributes:
        name: its name in motoko.yaml, in runs' entries and in file names, such as ``slurm``. Users
            set its options under ``<name>_options``.
        title: its name for people, such as ``Slurm``.
        submit_command: the command that takes those options.
        query_command: the command that is called at each query.
        shell_variables: how it tells a job of itself.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def submit_command(self) -> str: ...

    @property
    def query_command(self) -> str: ...

    @property
    def shell_variables(self) -> ShellVariables: ...

    def read_options(self, items: Iterable[str]) -> Options:
        """The options in a list as users write it. Raises ``WrongOption``."""

    def merge_options(self, earlier: Options, later: Options) -> Options:
        """All options of both; those in ``later`` override those in ``earlier``."""

    def job_options(self, script: str, chosen: Options, tasks: int) -> JobOptions:
        """The options that a job is submitted with. Raises ``WrongOption`` for wrong directives.

        Args:
            script: the user's launch.sh; ``chosen`` overrides its directives.
            chosen: the options that were set elsewhere.
            tasks: how many processors the run gets, if no option says so.
        """

    def check(self, file: Path) -> None:
        """Raise ``ConfigError`` if jobs cannot be submitted: if a command is not on PATH, say.

        A scheduler that gives no answer now is no error. ``file`` is the workflow's motoko.yaml,
        for the message.
        """

    def refusal(self, options: JobOptions) -> str | None:
        """Why the scheduler would refuse a job with such options. No job is submitted.

        ``None`` if it would accept the job, gives no answer now, or cannot be asked.
        """

    def other_host(self) -> str | None:
        """The address, or name, of a node that is not this host; empty if all nodes are this host.

        ``None`` if the scheduler gives no answer now, or is not installed.
        """

    def last_words(self, directory: Path, job: str) -> str:
        """What the system has written last into the output of a job that worked in a directory."""

    def scheduler(self, commands: Commands) -> Scheduler:
        """Its scheduler, which is asked through ``commands``."""
