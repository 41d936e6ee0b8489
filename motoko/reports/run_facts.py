"""What is known of a run, and of the daemons that execute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motoko.config.policy import Policy
from motoko.control.protocol import SupervisorInfo
from motoko.reports.status import NOT_RUNNING, Daemon
from motoko.runs.entries import OwnEntries
from motoko.runs.job_facts import JobFacts
from motoko.runs.states import (
    FAILED_STATES,
    FINISHED,
    LAUNCHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)

WAITING, RUNNING, ENDED = "waiting", "running", "ended"
_NO_SUPERVISOR = SupervisorInfo(None, None, NOT_RUNNING, None)


@dataclass(frozen=True)
class Holder:
    """A holder of slots: a run, named STUDY.ID, or a process."""

    name: str
    slots: int
    since: float | None = None


@dataclass(frozen=True)
class Slots:
    """The slots of the workflow's launchers, and the queue for them.

    Attributes:
        queue: the studies whose launchers wait for slots, in their order.
        before: the runs of the same study that come before this one.
    """

    count: int
    holders: tuple[Holder, ...] = ()
    queue: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def free(self) -> int:
        """How many slots are free."""
        return max(0, self.count - sum(holder.slots for holder in self.holders))


@dataclass(frozen=True)
class Execution:
    """The present attempt, by its directory and its host's processes.

    Attributes:
        claimed: when it was started (seconds since 1970), if it was.
        wrapper: the pid of its wrapper, if that lives.
        processes: how many of its processes live.
        rebooted: whether the host was rebooted since.
        elsewhere: the other host that it was started on, if no end is recorded; otherwise empty.
        code, ended: launch.sh's exit code, and when it ended, if that is recorded.
    """

    claimed: float | None = None
    wrapper: int | None = None
    processes: int = 0
    rebooted: bool = False
    elsewhere: str = ""
    code: int | None = None
    ended: float | None = None


@dataclass(frozen=True)
class DeadAttempt:
    """An attempt that was declared dead: it is fenced.

    Attributes:
        attempt: its number.
        since, reason: when (seconds since 1970), and why it was declared dead.
        ended, code: when it ended nevertheless, and with which exit code, if that is recorded.
    """

    attempt: int
    since: float
    reason: str
    ended: float | None = None
    code: int | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a run, and of the daemons that execute it.

    Attributes:
        entries: the run's entries.
        parameters: its job's parameters, in the order of bd.yaml.
        host: this host's name.
        policy: how it is executed; ``policy_error``: what is wrong with its own policy entries.
        not_taken: the keys of motoko.yaml that have changed since its launcher was started.
        supervisor: the supervisor's state, pid and host, as ``motoko ps`` shows them; ``unseen``:
            why the supervisor, on another host, cannot be reached.
        daemons: the daemons by name, as ``motoko ps`` shows them.
        server_answers: whether the study's server answers, or does not have to.
        dead: the attempts that were declared dead.
        changed: when the run's record was last changed (seconds since 1970).
        last_line: the last line of its output; ``stderr``: the end of its standard error.
        outputs: the output files of all attempts.
        awaited_by: the processes that await it.
        job: its batch job, if it has or had one; ``becomes_job``: whether it will become one.
        owner: the account whose workflow this one may only look at; ``None`` if it may change it.
        submitted, max_submitted: how many jobs the workflow has in the queue, and may have.
    """

    study: str
    run_id: int
    entries: Mapping[str, Any]
    now: float
    host: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy | None = field(default_factory=Policy)
    policy_error: str = ""
    not_taken: tuple[str, ...] = ()
    supervisor: SupervisorInfo = _NO_SUPERVISOR
    unseen: str = ""
    daemons: Mapping[str, Daemon] = field(default_factory=dict)
    server_answers: bool = True
    execution: Execution = field(default_factory=Execution)
    slots: Slots | None = None
    dead: tuple[DeadAttempt, ...] = ()
    changed: float | None = None
    last_line: str = ""
    stderr: str = ""
    outputs: tuple[Path, ...] = ()
    awaited_by: tuple[str, ...] = ()
    job: JobFacts | None = None
    becomes_job: bool = False
    owner: str | None = None
    submitted: int = 0
    max_submitted: int | None = None

    @property
    def name(self) -> str:
        """STUDY.ID."""
        return f"{self.study}.{self.run_id}"

    @property
    def own(self) -> OwnEntries:
        """The entries that Motoko has written on the run."""
        return OwnEntries(self.entries)

    @property
    def state(self) -> str:
        """The run's state."""
        return state_of(self.entries)

    @property
    def is_here(self) -> bool:
        """Whether launchers on this host start it."""
        return self.entries.get("machine_name") in ("localhost", self.host)

    @property
    def has_slots_here(self) -> bool:
        """Whether it takes slots of this host, whose holders can be seen."""
        return self.is_here and self.supervisor.host in (None, self.host)

    @property
    def status(self) -> str:
        """``WAITING``, ``RUNNING`` or ``ENDED``."""
        if self.state in WAITING_STATES:
            return WAITING
        if self.state == LAUNCHED and self.is_here and self.execution.claimed is None:
            return WAITING
        if self.state in RUNNING_STATES:
            return RUNNING
        over = self.state == FINISHED or self.state in FAILED_STATES
        over = over or bool(self.own.ended_state)
        lives = (
            self.execution.processes
            or self.execution.elsewhere
            or (self.job is not None and self.job.followed)
        )
        return RUNNING if lives and not over else ENDED
