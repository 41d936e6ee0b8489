"""Gathers what is known of a run: from its base, its directory, the daemons and the host."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from motoko.batch.registry import LOCAL
from motoko.config import StudyConfig, WorkflowConfig, snapshot
from motoko.config.config_changes import changes
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.control.daemon_records import other_owner, records
from motoko.host.durations import since
from motoko.reports import slot_use
from motoko.reports.base_reading import reading_base, run_in
from motoko.reports.batch_jobs import job_facts, submitted
from motoko.reports.run_facts import (
    WAITING,
    DeadAttempt,
    Execution,
    Facts,
    Slots,
)
from motoko.reports.status import Daemon, Orchestrator, WorkflowStatus, living_processes
from motoko.runs.entries import OwnEntries
from motoko.runs.outputs import outputs_of, stderr_path, tail
from motoko.runs.run_policy import policy_of
from motoko.runs.states import (
    CREATED,
    RUNNING_STATES,
    state_of,
)

STDERR_LINES = 20


def gather(config: WorkflowConfig, study: StudyConfig, number: int) -> Facts:
    """What is known of a run, from its base, its directory, the daemons and the host."""
    from motoko.store.history import changed_at
    from motoko.store.jobs_of_runs import parameters_of

    processes = living_processes(config)
    with reading_base(config, study) as (base, answers):
        run, entries = run_in(base, study, number)
        changed = changed_at(run)
        daemons = {daemon.name: daemon for daemon in processes.daemons}
        followed, not_taken = _followed(config, study, processes)
        policy, problem = None, ""
        try:
            policy = policy_of(followed, entries)
        except ValueError as error:
            problem = str(error)
        outputs = outputs_of(entries)
        facts = Facts(
            study=study.name,
            run_id=number,
            entries=entries,
            parameters=parameters_of(study, base.jobs.entries, entries),
            now=time.time(),
            host=socket.gethostname(),
            policy=policy,
            policy_error=problem,
            not_taken=not_taken,
            supervisor=processes.supervisor,
            unseen=processes.note,
            owner=other_owner(config),
            daemons=daemons,
            server_answers=answers,
            execution=_execution(study, entries),
            dead=tuple(_dead_attempts(config, study, entries)),
            changed=changed,
            last_line=_last_line(outputs),
            stderr=tail(stderr_path(entries), STDERR_LINES),
            outputs=tuple(outputs),
            awaited_by=tuple(_awaiting(processes.orchestrators, f"{study.name}.{number}")),
            job=job_facts(config, entries),
        )
        launcher = daemons.get(daemon_of(LAUNCHER, study.name))
        counts = launcher.counts if launcher is not None else {}
        if "jobs" in counts or (not counts and study.generator != LOCAL):
            limit = config.batch.max_submitted
            facts = replace(
                facts, becomes_job=True, submitted=submitted(config), max_submitted=limit
            )
        elif facts.status == WAITING and facts.has_slots_here and launcher is not None:
            facts = replace(facts, slots=_slots(config, study, facts, launcher))
    return facts


def _followed(
    config: WorkflowConfig, study: StudyConfig, processes: WorkflowStatus
) -> tuple[StudyConfig, tuple[str, ...]]:
    """The study as its launcher has read it, and the keys that have since changed in the files."""
    launcher = daemon_of(LAUNCHER, study.name)
    taken = snapshot.read(records(config).snapshot, config.path)
    if taken is None or launcher not in processes.started:
        return study, ()
    before = taken.config_at(processes.started[launcher] + snapshot.LOADING_S)
    keys = [change.key for change in changes(before, config) if launcher in change.daemons]
    return before.studies.get(study.name, study), tuple(keys)


def _execution(study: StudyConfig, entries: Mapping[str, Any]) -> Execution:
    from motoko.runs.claims import Where, read_exit, recorded_at
    from motoko.runs.foreign_processes import ForeignProcesses
    from motoko.runs.paths import claim_path
    from motoko.runs.processes import attempt_of, claim_of, directory_of, members

    directory, claim = directory_of(study, entries), claim_of(study, entries)
    if directory is None or claim is None:
        # BlackDynamite, or Motoko 0.1.4, may have started it.
        if directory is None or state_of(entries) not in RUNNING_STATES:
            return Execution()
        return Execution(processes=len(ForeignProcesses().of(directory, entries["id"])))
    attempt, living, wrapper = attempt_of(entries), members(claim), claim.wrapper.process
    code = read_exit(directory, attempt)
    return Execution(
        claimed=_changed(claim_path, directory, attempt),
        wrapper=wrapper.pid if wrapper in living else None,
        processes=len(living),
        rebooted=claim.where is Where.REBOOTED,
        elsewhere=claim.wrapper.process.host
        if claim.where is Where.ELSEWHERE and code is None
        else "",
        code=code,
        ended=recorded_at(directory, attempt) if code is not None else None,
    )


def _dead_attempts(
    config: WorkflowConfig, study: StudyConfig, entries: Mapping[str, Any]
) -> Iterator[DeadAttempt]:
    from motoko.runs.claims import read_exit, recorded_at
    from motoko.runs.fences import fences
    from motoko.runs.processes import directory_of

    directory = directory_of(study, entries)
    for (_, attempt), fence in sorted(fences(config.directory, study.name, entries["id"]).items()):
        code = None if directory is None else read_exit(directory, attempt)
        ended = None if directory is None or code is None else recorded_at(directory, attempt)
        yield DeadAttempt(attempt, fence.since, fence.reason, ended, code)


def _changed(of: Callable[..., Path], directory: Path, *names: int) -> float | None:
    try:
        return of(directory, *names).stat().st_mtime
    except OSError:
        return None


def _last_line(outputs: list[Path]) -> str:
    """The last line of the present attempt's output."""
    for file in outputs[-2:]:
        lines = [line for line in tail(file).splitlines() if line.strip()]
        if lines:
            return lines[-1].strip()
    return ""


def _slots(config: WorkflowConfig, study: StudyConfig, facts: Facts, launcher: Daemon) -> Slots:
    from motoko.host.cpus import usable_cpus

    return Slots(
        count=launcher.counts.get("slots") or config.slots or usable_cpus(),
        holders=tuple(slot_use.holders(config)),
        queue=tuple(slot_use.queue(config)),
        before=tuple(_before(config, study, facts)),
    )


def _before(config: WorkflowConfig, study: StudyConfig, facts: Facts) -> Iterator[str]:
    """The runs that will be started before the waiting run."""
    from motoko.mirror.current_mirror import current
    from motoko.mirror.mirror_tables import RUNS, Name
    from motoko.mirror.mirrored_rows import parts

    names = ("state", "machine_name", "run_path", "motoko.attempt", "motoko.retry_at", "retry_at")
    wanted = [(RUNS, [Name(False, name)]) for name in names]
    where = f"runs.state = '{CREATED}' AND runs.id < ?"
    with current(config, study) as moment:
        for part in parts(moment.tables, wanted, where, (facts.run_id,)):
            for number, *values in zip(*part, strict=True):
                known = zip(names, values, strict=True)
                entries = {name: value for name, value in known if value is not None}
                due = OwnEntries(entries).retry_at <= facts.now
                if due and entries.get("machine_name") in ("localhost", facts.host):
                    yield f"{facts.study}.{number}"


def _awaiting(orchestrators: list[Orchestrator], name: str) -> Iterator[str]:
    """The orchestrators and scripts that say that they await a run, in words."""
    for orchestrator in orchestrators:
        if name in orchestrator.runs:
            kind = "orchestrator" if orchestrator.registered else "script"
            text = f"{kind} {orchestrator.run_name}, pid {orchestrator.pid} on {orchestrator.host}"
            if orchestrator.since is not None:
                text += f", waiting since {since(orchestrator.since, time.time())}"
            yield text
