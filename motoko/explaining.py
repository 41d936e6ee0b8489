"""Where a run stands, and why it is not running: from facts to sentences. Pure logic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motoko.job_facts import JobFacts
from motoko.policy import Policy
from motoko.states import (
    CANCELLED_BY,
    FAILED_STATES,
    FINISHED,
    LAUNCHED,
    RUNNING_STATES,
    TOBELAUNCHED,
    WAITING_STATES,
)
from motoko.times import duration, moment, since

WAITING, RUNNING, ENDED = "waiting", "running", "ended"
# A daemon of this state works; one whose supervisor is dead or frozen does as well.
_WORKING = ("ready", "orphaned", "unknown")
SOON_S = 10.0  # in which a run is started that nothing keeps from it
SHOWN = 5


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
        code, ended: launch.sh's exit code, and when it ended, if that is recorded.
    """

    claimed: float | None = None
    wrapper: int | None = None
    processes: int = 0
    rebooted: bool = False
    code: int | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a run, and of those who are to execute it.

    Attributes:
        entries: the run's.
        host: this host's name.
        policy: how it is executed; ``policy_error`` if what it says of that is wrong.
        supervisor: its state, pid and host, as ``motoko ps`` has them.
        daemons: by name, likewise.
        server_answers: whether the study's server does, or is not asked to.
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
    policy: Policy | None = field(default_factory=Policy)
    policy_error: str = ""
    supervisor: Mapping[str, Any] = field(default_factory=dict)
    daemons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    server_answers: bool = True
    execution: Execution = field(default_factory=Execution)
    slots: Slots | None = None
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
    def state(self) -> str:
        """The run's state."""
        return str(self.entries.get("state"))

    @property
    def is_here(self) -> bool:
        """Whether launchers on this host start it."""
        return self.entries.get("machine_name") in ("localhost", self.host)

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
        over = over or bool(self.entries.get("ended_state"))
        lives = self.execution.processes or (self.job is not None and self.job.followed)
        return RUNNING if lives and not over else ENDED


@dataclass(frozen=True)
class Cause:
    """Why a run is not running, or what is wrong with it, and the command that helps."""

    code: str
    text: str
    do: str | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What is to be told of a run: in a line, why, and its particulars."""

    status: str
    summary: str
    causes: tuple[Cause, ...]
    details: tuple[tuple[str, str], ...]


def explain(facts: Facts) -> Explanation:
    """Say where a run stands."""
    match facts.status:
        case status if status == WAITING:
            causes = tuple(_why_waiting(facts))
            summary = "it waits"
            if facts.state == LAUNCHED:
                summary = "it was prepared, and waits to be started"
            if facts.job is not None and facts.job.followed:
                summary = f"it waits in {facts.job.system}"
            details = _waiting(facts)
        case status if status == RUNNING:
            causes = tuple(_troubles(facts))
            summary, details = _how_it_runs(facts), _running(facts)
        case status:
            causes = tuple(_after_the_end(facts))
            summary, details = _how_it_ended(facts), _ended(facts)
    return Explanation(
        status,
        f"{facts.name} is {facts.state}: {summary}",
        causes,
        (*_common(facts), *details),
    )


def _why_waiting(facts: Facts) -> Iterator[Cause]:
    """What keeps a run from being started; what keeps all of them comes first."""
    found = False
    if not facts.is_here:
        machine = facts.entries.get("machine_name")
        text = f"its machine_name is {machine!r}, and launchers on {facts.host} leave it alone"
        yield Cause("other-host", text, f"ssh {machine} motoko supervise --detach")
        return
    for cause in _absent(facts):
        found = True
        yield cause
    if facts.job is not None and facts.job.followed:
        yield from (Cause(*why) for why in facts.job.why_waiting())
        if who := facts.entries.get(CANCELLED_BY):
            yield Cause("cancelled", f"{who} has cancelled it: its launcher is to end its job")
        return
    if facts.policy is None:
        yield Cause("policy", f"it cannot be started: {facts.policy_error}")
        return
    if facts.state == TOBELAUNCHED and not found:
        text = "motoko 0.1.4 was about to start it; a launcher looks for such runs at its start"
        yield Cause("old-state", text, f"motoko restart launcher:{facts.study}")
        return
    retry_at = facts.entries.get("retry_at") or 0.0
    if retry_at > facts.now:
        text = f"it is tried again at {moment(retry_at)}, in {duration(retry_at - facts.now)}"
        yield Cause("retry", f"{text}, since it failed")
        return
    if not found:
        yield _slots(facts)


def _absent(facts: Facts) -> Iterator[Cause]:
    """Whoever is missing of those that start runs."""
    state, host = facts.supervisor.get("state"), facts.supervisor.get("host")
    launcher, server = f"launcher:{facts.study}", f"zeo:{facts.study}"
    if state == "on another host":
        text = f"the workflow's supervisor is on {host}, and nothing can be seen of it from here"
        yield Cause("other-supervisor", text, f"ssh {host} motoko explain {facts.name}")
        return
    if state == "stopping":
        yield Cause("stopping", "the workflow is being stopped", "motoko supervise --detach")
        return
    if state == "not answering":
        text = f"the supervisor (pid {facts.supervisor.get('pid')}) does not answer"
        yield Cause("supervisor-silent", text, "motoko kill")
    dead = state == "not running"
    if dead and not (_works(facts, launcher) and _works(facts, server)):
        yield Cause("no-supervisor", "no supervisor is running", "motoko supervise --detach")
        return
    if not facts.server_answers:
        text = f"the ZEO server of study {facts.study} does not answer: this is from its file"
        yield Cause("server-silent", text, f"motoko restart {server}")
    for name, what in ((server, "ZEO server"), (launcher, "launcher")):
        if (cause := _daemon(facts, name, f"the {what} of study {facts.study}")) is not None:
            yield cause
    for name in ("bus", "watcher"):
        if (cause := _daemon(facts, name, f"the {name}")) is not None and not dead:
            yield cause


def _works(facts: Facts, name: str) -> bool:
    return facts.daemons.get(name, {}).get("state") in _WORKING


def _daemon(facts: Facts, name: str, what: str) -> Cause | None:
    """Why a daemon does not work, if it does not."""
    daemon = facts.daemons.get(name)
    kind = name.partition(":")[0]
    if daemon is None:
        command = "motoko supervise --detach"
        if kind == "launcher":
            command = f"motoko launcher --bd_study {facts.study}"
        return Cause(f"no-{kind}", f"{what} is not running", command)
    state = daemon.get("state")
    if state in _WORKING:
        return None
    last = f" (last exit: {daemon['last_exit']})" if daemon.get("last_exit") else ""
    if state == "failed":
        lines = tuple(daemon.get("log_tail") or ())[-SHOWN:]
        text = f"{what} was given up{last}; the end of {daemon.get('log')}:"
        return Cause(f"{kind}-failed", text, f"motoko start {name}", lines)
    if state == "stopped":
        return Cause(f"{kind}-stopped", f"{what} was stopped", f"motoko start {name}")
    return Cause(f"{kind}-{state}", f"{what} is {state}{last}", f"motoko logs {name}")


def _slots(facts: Facts) -> Cause:
    slots, wanted = facts.slots, facts.entries.get("nproc") or 1
    log = f"motoko logs launcher:{facts.study}"
    if facts.becomes_job and facts.max_submitted and facts.submitted >= facts.max_submitted:
        text = f"the workflow has {_counted(facts.submitted, 'job')} in the queue, and may have"
        return Cause("queue-full", f"{text} {facts.max_submitted} (max_submitted in motoko.yaml)")
    if facts.becomes_job:
        return Cause("soon", "nothing is in its way: its launcher submits it at any moment", log)
    if slots is None:
        return Cause("soon", "nothing is known to be in its way", log)
    if wanted > slots.count:
        text = f"it wants {_counted(wanted, 'slot')}, and there are {slots.count}: it will fail"
        return Cause("too-wide", text, "motoko supervise --slots N")
    # Whose launcher has not asked for slots comes behind all that have.
    mine = slots.queue.index(facts.study) if facts.study in slots.queue else len(slots.queue)
    ahead = slots.queue[:mine]
    if wanted <= slots.free and not ahead and not slots.before:
        waited = facts.now - facts.changed if facts.changed is not None else 0.0
        text = "nothing is in its way: its launcher starts it at any moment"
        return Cause("soon", text, log if waited > SOON_S else None)
    lines = [_holds(holder, facts.now) for holder in slots.holders]
    if ahead:
        launchers = ", ".join(f"launcher:{study}" for study in ahead)
        lines.append(f"before it in the queue for slots: {launchers}")
    if slots.before:
        lines.append(f"before it in its study: {_listed(slots.before)}")
    text = f"it wants {_counted(wanted, 'slot')}, and {slots.free} of {slots.count} are free"
    return Cause("no-slot", text, None, tuple(lines))


def _holds(holder: Holder, now: float) -> str:
    when = "" if holder.since is None else f" since {since(holder.since, now)}"
    return f"{holder.name} has {_counted(holder.slots, 'slot')}{when}"


def _troubles(facts: Facts) -> Iterator[Cause]:
    """What is wrong with a run that is said to be running."""
    execution = facts.execution
    if not facts.is_here:
        return
    if facts.job is not None and facts.job.followed:
        if facts.job.silent:
            text = f"{facts.job.system} gives no answer: {facts.job.silent}"
            yield Cause("scheduler-silent", text)
        if who := facts.entries.get(CANCELLED_BY):
            yield Cause("cancelled", f"{who} has cancelled it: its launcher is to end its job")
        yield from _absent(facts)
        return
    if not execution.processes:
        text = "its processes are gone, and nobody has recorded its end yet"
        if execution.code is not None:
            text = f"launch.sh has ended with exit code {execution.code}: not recorded yet"
        if execution.rebooted:
            text = "the host was rebooted under it, which nobody has recorded yet"
        yield Cause("gone", text)
    if who := facts.entries.get(CANCELLED_BY):
        yield Cause("cancelled", f"{who} has cancelled it: its launcher is to end it")
    if not execution.processes or facts.entries.get(CANCELLED_BY):
        yield from _absent(facts)


def _how_it_runs(facts: Facts) -> str:
    if not facts.is_here:
        return f"it runs on {facts.entries.get('machine_name')}, and cannot be seen from here"
    start = facts.execution.claimed
    if facts.job is not None and facts.job.followed:
        where = f" on {facts.job.nodes}" if facts.job.nodes else ""
        when = f", since {since(start, facts.now)}" if start is not None else ""
        return f"it runs as job {facts.job.id}{where}{when}"
    if not facts.execution.processes:
        return "it was running"
    return f"it runs, since {since(start, facts.now)}" if start is not None else "it runs"


def _after_the_end(facts: Facts) -> Iterator[Cause]:
    if facts.job is not None and facts.job.followed:
        text = f"its job {facts.job.id} is not known to be over: {facts.job.described}"
        yield Cause("goes-on", text)
    if facts.execution.processes:
        many = _counted(facts.execution.processes, "process", "es")
        pid = f", pid {facts.execution.wrapper}" if facts.execution.wrapper else ""
        yield Cause("goes-on", f"its launch.sh has not ended: {many} of it live{pid}")
    if facts.state in FAILED_STATES:
        text = "once the cause is mended, it can be executed again"
        yield Cause("failed", text, f"motoko retry {facts.name}")


def _how_it_ended(facts: Facts) -> str:
    entries = facts.entries
    if facts.state == FINISHED:
        return "it has finished"
    if facts.state in FAILED_STATES:
        return str(entries.get("failure_reason") or "it says that it failed")
    ended = entries.get("ended_state")
    return f"a state of your own; it was {ended}" if ended else "a state of your own"


def _common(facts: Facts) -> Iterator[tuple[str, str]]:
    entries = facts.entries
    by = f", created by {entries['event_name']}" if entries.get("event_name") else ""
    yield "run_name", f"{entries.get('run_name')}{by}, job {entries.get('job_id')}"
    allowed = facts.policy.retries + 1 if facts.policy else 1
    attempt = int(entries.get("attempt") or 1)
    yield "attempt", f"{attempt} of {allowed}" if attempt <= allowed else str(attempt)
    if (reason := entries.get("last_failure")) and facts.status != WAITING:
        yield "failed before", str(reason)
    if facts.job is not None:
        yield "job", f"{facts.job.described} ({facts.job.system})"
    for who in facts.awaited_by:
        yield "awaited by", who
    if path := entries.get("run_path"):
        yield "directory", str(path)


def _waiting(facts: Facts) -> Iterator[tuple[str, str]]:
    if reason := facts.entries.get("last_failure"):
        yield "failed before", str(reason)
    if facts.changed is not None:
        yield "last change", since(facts.changed, facts.now)
    yield from _outputs(facts)


def _running(facts: Facts) -> Iterator[tuple[str, str]]:
    execution, limit = facts.execution, facts.policy.timeout if facts.policy else None
    if execution.wrapper is not None:
        many = _counted(execution.processes, "process", "es")
        yield "wrapper", f"pid {execution.wrapper} on {facts.host}, {many}"
    elif execution.processes:
        yield "processes", f"{execution.processes} on {facts.host}; the wrapper is gone"
    if limit is not None and execution.claimed is not None:
        left = execution.claimed + limit - facts.now
        over = f"{duration(left)} left" if left > 0 else "it is over"
        yield "time limit", f"{duration(limit)}, {over}"
    if facts.last_line:
        yield "last line", facts.last_line
    yield from _outputs(facts)


def _ended(facts: Facts) -> Iterator[tuple[str, str]]:
    execution, code = facts.execution, facts.entries.get("exit_code")
    if execution.ended is not None:
        took = ""
        if execution.claimed is not None and execution.claimed <= execution.ended:
            took = f", it took {duration(execution.ended - execution.claimed)}"
        yield "ended", since(execution.ended, facts.now) + took
    elif facts.changed is not None:
        yield "last change", since(facts.changed, facts.now)
    if code is not None:
        yield "exit code", str(code)
    if facts.state not in (FINISHED, *FAILED_STATES) and facts.entries.get("failure_reason"):
        yield "reason", str(facts.entries["failure_reason"])
    yield from _outputs(facts)


def _outputs(facts: Facts) -> Iterator[tuple[str, str]]:
    for path in facts.outputs:
        yield "output", str(path)


def _counted(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else plural}"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
