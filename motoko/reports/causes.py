"""Why a run is not running, or what is wrong with it: from facts to sentences. Pure logic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from motoko.config.daemon_kinds import BUS, LAUNCHER, WATCHER, ZEO, daemon_of, kind_of
from motoko.config.policy import LATER
from motoko.host.durations import counted, duration, moment, since
from motoko.reports.run_facts import Facts, Holder
from motoko.reports.status import ELSEWHERE, NOT_ANSWERING, NOT_RUNNING, OF_OTHERS
from motoko.runs.states import FAILED_STATES, TOBELAUNCHED

# States of daemons that work, also of those whose supervisor is dead or frozen.
_WORKING = ("ready", "orphaned", "unknown")
SOON_S = 10.0  # a run that nothing keeps from starting is started within this time
SHOWN = 5


@dataclass(frozen=True)
class Cause:
    """Why a run is not running, or what is wrong with it, and the command that helps."""

    code: str
    text: str
    do: str | None = None
    more: tuple[str, ...] = ()


def why_waiting(facts: Facts) -> Iterator[Cause]:
    """What keeps a run from being started; what keeps all runs from it comes first."""
    absent = False
    if not facts.is_here:
        machine = facts.entries.get("machine_name")
        text = f"its machine_name is {machine!r}, and launchers on {facts.host} leave it alone"
        yield Cause("other-host", text, f"ssh {machine} motoko supervise --detach")
        return
    for cause in _absent(facts):
        absent = True
        yield cause
    if facts.job is not None and facts.job.followed:
        yield from (Cause(*why) for why in facts.job.why_waiting())
        if who := facts.own.cancelled_by:
            yield Cause("cancelled", f"{who} has cancelled it: its launcher will end its job")
        return
    if facts.policy is None:
        yield Cause("policy", f"it cannot be started: {facts.policy_error}")
        return
    if facts.state == TOBELAUNCHED and not absent:
        text = "motoko 0.1.4 was about to start it; a launcher looks for such runs at its start"
        yield Cause("old-state", text, f"motoko restart {daemon_of(LAUNCHER, facts.study)}")
        return
    retry_at = facts.own.retry_at
    if retry_at > facts.now:
        text = f"it is tried again at {moment(retry_at)}, in {duration(retry_at - facts.now)}"
        yield Cause("retry", f"{text}, since it failed")
        return
    if not absent:
        yield _trouble(facts) or _slots(facts)


def _absent(facts: Facts) -> Iterator[Cause]:
    """The missing daemons among those that start runs."""
    state, host = facts.supervisor.state, facts.supervisor.host
    launcher, server = daemon_of(LAUNCHER, facts.study), daemon_of(ZEO, facts.study)
    if state == ELSEWHERE:
        text = f"the workflow's supervisor is on {host}, and nothing can be seen of it from here"
        text = facts.unseen or text
        yield Cause("other-supervisor", text, f"ssh {host} motoko explain {facts.name}")
        return
    if state == OF_OTHERS:
        text = "another account supervises the workflow, and its supervisor answers only it"
        yield Cause("other-account", text)
        return
    if state == "stopping":
        yield Cause("stopping", "the workflow is being stopped", "motoko supervise --detach")
        return
    if state == NOT_ANSWERING:
        text = f"the supervisor (pid {facts.supervisor.pid}) does not answer"
        yield Cause("supervisor-silent", text, "motoko kill")
    dead = state == NOT_RUNNING
    if dead and not (_works(facts, launcher) and _works(facts, server)):
        yield Cause("no-supervisor", "no supervisor is running", "motoko supervise --detach")
        return
    if not facts.server_answers:
        text = f"the ZEO server of study {facts.study} does not answer: this is from its file"
        yield Cause("server-silent", text, f"motoko restart {server}")
    for name, what in ((server, "ZEO server"), (launcher, "launcher")):
        if (cause := _daemon(facts, name, f"the {what} of study {facts.study}")) is not None:
            yield cause
    for name in (BUS, WATCHER):
        if (cause := _daemon(facts, name, f"the {name}")) is not None and not dead:
            yield cause


def _works(facts: Facts, name: str) -> bool:
    daemon = facts.daemons.get(name)
    return daemon is not None and daemon.state in _WORKING


def _daemon(facts: Facts, name: str, what: str) -> Cause | None:
    """Why a daemon does not work, if it does not."""
    daemon = facts.daemons.get(name)
    kind = kind_of(name)
    if daemon is None:
        command = "motoko supervise --detach"
        if kind == LAUNCHER:
            command = f"motoko launcher --bd_study {facts.study}"
        return Cause(f"no-{kind}", f"{what} is not running", command)
    state = daemon.state
    if state in _WORKING:
        return None
    last = f" (last exit: {daemon.last_exit})" if daemon.last_exit else ""
    if state == "failed":
        lines = tuple(daemon.log_tail)[-SHOWN:]
        text = f"{what} was given up{last}; the end of {daemon.log}:"
        return Cause(f"{kind}-failed", text, f"motoko start {name}", lines)
    if state == "stopped":
        return Cause(f"{kind}-stopped", f"{what} was stopped", f"motoko start {name}")
    return Cause(f"{kind}-{state}", f"{what} is {state}{last}", f"motoko logs {name}")


def _trouble(facts: Facts) -> Cause | None:
    """What keeps the run's launcher from starting anything."""
    launcher = facts.daemons.get(daemon_of(LAUNCHER, facts.study))
    if launcher is None or not launcher.trouble:
        return None
    text = f"its launcher can start no more now, and tries again by itself: {launcher.trouble}"
    return Cause("hindered", text, f"motoko logs {launcher.name}")


def _slots(facts: Facts) -> Cause:
    slots, wanted = facts.slots, facts.entries.get("nproc") or 1
    log = f"motoko logs {daemon_of(LAUNCHER, facts.study)}"
    if facts.becomes_job and facts.max_submitted and facts.submitted >= facts.max_submitted:
        text = f"the workflow has {counted(facts.submitted, 'job')} in the queue, and may have"
        return Cause("queue-full", f"{text} {facts.max_submitted} (max_submitted in motoko.yaml)")
    if facts.becomes_job:
        return Cause("soon", "nothing is in its way: its launcher submits it at any moment", log)
    if slots is None:
        return Cause("soon", "nothing is known to be in its way", log)
    wide: tuple[str, ...] = ()
    if wanted > slots.count:
        text = f"it wants {counted(wanted, 'slot')}, and the limit is {slots.count}: it takes all"
        wide = (text,)
        wanted = slots.count
    # A study whose launcher has not asked for slots comes after all whose launchers have.
    mine = slots.queue.index(facts.study) if facts.study in slots.queue else len(slots.queue)
    ahead = slots.queue[:mine]
    if wanted <= slots.free and not ahead and not slots.before:
        waited = facts.now - facts.changed if facts.changed is not None else 0.0
        text = "nothing is in its way: its launcher starts it at any moment"
        return Cause("soon", text, log if waited > SOON_S else None, wide)
    lines = [*wide, *(_holds(holder, facts.now) for holder in slots.holders)]
    if ahead:
        launchers = ", ".join(daemon_of(LAUNCHER, study) for study in ahead)
        lines.append(f"before it in the queue for slots: {launchers}")
    if slots.before:
        lines.append(f"before it in its study: {_listed(slots.before)}")
    are = "is" if slots.free == 1 else "are"
    text = f"it wants {counted(wanted, 'slot')}, and {slots.free} of {slots.count} {are} free"
    return Cause("no-slot", text, None, tuple(lines))


def _holds(holder: Holder, now: float) -> str:
    when = "" if holder.since is None else f" since {since(holder.since, now)}"
    return f"{holder.name} has {counted(holder.slots, 'slot')}{when}"


def troubles(facts: Facts) -> Iterator[Cause]:
    """What is wrong with a run that is said to be running."""
    execution = facts.execution
    if not facts.is_here:
        return
    if facts.job is not None and facts.job.followed:
        if facts.job.silent:
            text = f"{facts.job.system} gives no answer: {facts.job.silent}"
            yield Cause("scheduler-silent", text)
        if who := facts.own.cancelled_by:
            yield Cause("cancelled", f"{who} has cancelled it: its launcher will end its job")
        yield from _absent(facts)
        return
    if execution.elsewhere:
        text = f"it was started on {execution.elsewhere}, and cannot be seen from here"
        to_do = f"ssh {execution.elsewhere} motoko explain {facts.name}"
        if facts.supervisor.host != execution.elsewhere:
            text += ": it waits for its record, or until that host is up again and says so"
            to_do += f"; if it is gone for good: motoko retry --lost {facts.name}"
        yield Cause("other-host", text, to_do)
        return
    if not execution.processes:
        text = "its processes are gone, and nobody has recorded its end yet"
        if execution.code == 0 and facts.policy is not None and facts.policy.finish == LATER:
            yield Cause("handed-over", "launch.sh has handed its work over: it waits for finish()")
            return
        if execution.code is not None:
            text = f"launch.sh has ended with exit code {execution.code}: not recorded yet"
        if execution.rebooted:
            text = "the host was rebooted under it, which nobody has recorded yet"
        yield Cause("gone", text)
    if who := facts.own.cancelled_by:
        yield Cause("cancelled", f"{who} has cancelled it: its launcher will end it")
    if not execution.processes or facts.own.cancelled_by:
        yield from _absent(facts)


def after_the_end(facts: Facts) -> Iterator[Cause]:
    if facts.job is not None and facts.job.followed:
        text = f"its job {facts.job.id} is not known to be over: {facts.job.described}"
        yield Cause("goes-on", text)
    if facts.execution.processes:
        many = counted(facts.execution.processes, "process", "es")
        live = "lives" if facts.execution.processes == 1 else "live"
        pid = f", pid {facts.execution.wrapper}" if facts.execution.wrapper else ""
        over = "has not ended" if facts.execution.code is None else "has ended"
        yield Cause("goes-on", f"its launch.sh {over}: {many} of it {live}{pid}")
    if facts.state in FAILED_STATES:
        text = "once the cause is mended, it can be executed again"
        yield Cause("failed", text, f"motoko retry {facts.name}")


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
