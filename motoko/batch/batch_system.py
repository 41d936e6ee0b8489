"""What Motoko asks of a batch system, and what it is told.

A batch system is a folder beside this file that offers one object of the type ``BatchSystem``, and
a line in :mod:`motoko.batch.registry`. Its scheduler is asked by a few calls. Ids are texts: an
element of a job array has one of its own (``17_3``), and a name of its own
(:func:`motoko.batch.job_names.of_element`): where a system has arrays, many runs are submitted as
one.
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

# Seconds between two queries: schedulers are shared.
POLL_LEAST_S = 5.0
POLL_MOST_S = 120.0

# How long the exit record of a job that is over is waited for, unless users say otherwise.
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
        if_unstarted: it is said only because the job is not there any more: it holds if that has
            never started.
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
        """State and reason, as the scheduler says them."""
        return f"{self.state} ({self.reason})" if self.reason else self.state


@dataclass(frozen=True)
class Submission:
    """A job to be submitted, or an array of jobs.

    Attributes:
        name: unique; by it the job is found if its id was not told.
        directory: in which it works.
        script: what it executes, and ``arguments`` of that.
        options: further arguments of the submit command: the user's.
        elements: of an array: the indices of its elements, in order; empty for a job.
    """

    name: str
    directory: Path
    script: Path
    arguments: Sequence[str]
    options: Sequence[str]
    elements: Sequence[int] = ()


@dataclass(frozen=True)
class ArrayLimits:
    """What arrays a scheduler takes.

    Attributes:
        span: the indices of elements are less than that.
        elements: how many an array may have.
    """

    span: int
    elements: int


class JobRefused(MotokoError):
    """The scheduler has refused a job, in its words: nothing was queued."""


class QueueFull(MotokoError):
    """The scheduler takes no more jobs now, in its words: nothing was queued, later it may be."""


class SchedulerSilent(MotokoError):
    """The scheduler gave no answer: nothing is known, a job may have been queued."""


class WrongOption(ValueError):
    """An option that cannot be given. Its text says why."""


@dataclass(frozen=True)
class JobOptions:
    """What a job is submitted with, of what the user has chosen.

    Attributes:
        arguments: of the submit command.
        has_output, has_error: whether the user wants the job's standard output, or standard
            error, in a file of his own.
        is_alone: whether they mean something else for an element of an array.
    """

    arguments: Sequence[str]
    has_output: bool = False
    has_error: bool = False
    is_alone: bool = False


@dataclass(frozen=True)
class ShellVariables:
    """Where a job's shell finds what the system tells it of itself: words such as ``$JOB_ID``.

    Attributes:
        job: the job's id, an element's own.
        restarts: how often the system has started it again; empty or 0 at the first start.
        nodes: where it runs.
        other_nodes: how many nodes it has beside the one that executes its script.
        on_other_nodes: the command that executes another one once on each of those, as long as its
            own standard input lasts, and passes on what it says; empty if there is none.
        element: the index of an element of an array; empty if the system has no arrays.
        directory: the name of the variable that says for which directory it was submitted.
        output: where the system writes what an element prints, in the array's directory.
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
    """A scheduler, as one user sees it. Every call issues few commands, whatever the number."""

    async def submit(self, submission: Submission) -> str:
        """Submit a job, or an array; returns its id.

        The element with the index 3 of an array has the id ``<id>_3``. Raises ``JobRefused``,
        ``QueueFull`` or ``SchedulerSilent``: then none of it is queued, or nobody knows.
        """

    async def array_limits(self) -> ArrayLimits:
        """What arrays it takes, if the system has any. Raises ``SchedulerSilent``."""

    async def query(self) -> list[Job]:
        """All jobs of this user that the scheduler shows. Raises ``SchedulerSilent``."""

    async def look_up(self, ids: Collection[str]) -> Mapping[str, Job]:
        """What accounting and the controller know of jobs that the query does not show any more.

        Those that are known to nobody are left out. Raises ``SchedulerSilent``.
        """

    async def cancel(
        self, ids: Collection[str], *, names: Collection[str] = (), pending: bool = False
    ) -> None:
        """Have jobs ended, those that have gone already left alone. Raises ``SchedulerSilent``.

        Args:
            ids: the jobs.
            names: of submissions whose jobs' ids nobody knows, as far as they are this user's.
            pending: only those that wait: what runs goes on.
        """


class BatchSystem(Protocol):
    """A batch system: all that the rest of Motoko knows of it.

    Attributes:
        name: in motoko.yaml, in runs' entries and in names of files, such as ``slurm``. Users set
            its options under ``<name>_options``.
        title: for people, such as ``Slurm``.
        submit_command: the command that takes those options.
        query_command: the one that is called at each query.
        shell_variables: what it tells a job.
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
        """Both; what ``later`` says counts."""

    def job_options(self, script: str, chosen: Options, tasks: int) -> JobOptions:
        """What a job is submitted with. Raises ``WrongOption`` for what its script says wrongly.

        Args:
            script: the user's launch.sh, whose directives ``chosen`` overrides.
            chosen: the options that were set elsewhere.
            tasks: how many processors the run is to have, if no option says anything of that.
        """

    def check(self, file: Path) -> None:
        """Raise ``ConfigError`` if jobs cannot be submitted: its commands are not on PATH, say.

        If the scheduler gives no answer now, that is no error. ``file`` is the workflow's
        motoko.yaml, for the message.
        """

    def refusal(self, options: JobOptions) -> str | None:
        """What the scheduler says against a job with such options, which is not submitted.

        ``None`` if it would take it, gives no answer now, or cannot be asked.
        """

    def other_host(self) -> str | None:
        """The address, or name, of a node that is not this host; empty if all are this host.

        ``None`` if the scheduler gives no answer now, or is not there.
        """

    def last_words(self, directory: Path, job: str) -> str:
        """What the system has written last into the output of a job that worked in a directory."""

    def scheduler(self, commands: Commands) -> Scheduler:
        """Its scheduler, asked by these commands."""
