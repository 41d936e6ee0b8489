"""What is known of a run, and of those who are to execute it."""

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
    """Somebody who holds slots: a run as STUDY.ID, or a process."""

    name: str
    slots: int
    since: float | None = None


@dataclass(frozen=True)
class Slots:
    """The slots of the workflow's launchers, and who waits for some.

    Attributes:
        queue: the studies whose launchers wait for slots, the first one first.
        before: runs of the same study that come before this one.
    """

    count: int
    holders: tuple[Holder, ...] = ()
    queue: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def free(self) -> int:
        """How many nobody holds."""
        return max(0, self.count - sum(holder.slots for holder in self.holders))


@dataclass(frozen=True)
class Execution:
    """The present attempt, as its directory and the host tell.

    Attributes:
        claimed: when it was started (seconds since 1970), if it was.
        wrapper: the pid of its wrapper, if that lives.
        processes: how many of its processes live.
        rebooted: the host was rebooted since.
        elsewhere: the other host that it was started on, if there was one, and no end is recorded.
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
        attempt: which one.
        since, reason: when (seconds since 1970), and why.
        ended, code: when it ended all the same, and how, if it has recorded that.
    """

    attempt: int
    since: float
    reason: str
    ended: float | None = None
    code: int | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a run, and of those who are to execute it.

    Attributes:
        entries: the run's.
        parameters: its job's, in the order of bd.yaml.
        host: this host's name.
        policy: how it is executed; ``policy_error`` if what it says of that is wrong.
        not_taken: the keys of motoko.yaml that have changed since its launcher was started.
        supervisor: its state, pid and host, as ``motoko ps`` has them; ``unseen`` if it is on
            another host and cannot be reached: why.
        daemons: by name, likewise.
        server_answers: whether the study's server does, or is not asked to.
        dead: the attempts that were declared dead.
        changed: when the run's record was changed last (seconds since 1970).
        last_line: of its output; ``stderr``: the end of that.
        outputs: the output files of all attempts.
        awaited_by: who awaits it.
        job: its batch job, if it has or had one; ``becomes_job``: whether it is to become one.
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
    submitted: int = 0
    max_submitted: int | None = None

    @property
    def name(self) -> str:
        """STUDY.ID."""
        return f"{self.study}.{self.run_id}"

    @property
    def own(self) -> OwnEntries:
        """What Motoko has written on the run."""
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
        """Whether it is to get slots of this host, where one sees who holds them."""
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
