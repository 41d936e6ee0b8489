"""Declaring runs lost whose host is gone for good.

A run that was started on another host than the supervisor's is waited for until its end is known:
from its record, or from its host once that is up again. A user who knows that neither will come
declares the run lost. The attempt is fenced first: if a process of it comes back after all, its
commits are refused.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control.daemon_records import supervisor_elsewhere
from motoko.errors import MotokoError
from motoko.host.identity import Identity
from motoko.operations.choosing import Choice, no_such_run
from motoko.runs.ends import End, cancelled_reason, settle
from motoko.runs.entries import OwnEntries
from motoko.runs.fences import fence
from motoko.runs.processes import attempt_of, claim_of, is_elsewhere
from motoko.runs.run_policy import policy_of
from motoko.runs.states import WAITING_STATES, state_of
from motoko.store.base import StudyBase
from motoko.store.transactions import commit_now, renew


class NotLost(MotokoError):
    """A run to be declared lost was not started on another host than the supervisor's."""

    exit_code = 2


@dataclass(frozen=True)
class LostRun:
    """A run that was declared lost.

    Attributes:
        host: the host on which the run was executed.
        state: the run's state now.
    """

    study: str
    run_id: int
    host: str
    state: str


def declare_lost(config: WorkflowConfig, choice: Choice) -> Iterator[LostRun]:
    """Give up the attempts of runs that were started on a host that is gone for good.

    The runs are interrupted: they are executed again as the next attempt, or become FAILED if the
    study's policy says so. Runs that were chosen by constraints and are not lost are left alone.

    Raises:
        NotLost: a run that was named is not executed on another host than the supervisor's, as far
            as is known; then nothing is changed.
        OSError: a fence cannot be written.
    """
    supervisor = supervisor_elsewhere(config)
    with choice.opened(config) as studies:
        work: list[tuple[StudyBase, dict[int, str]]] = []
        for chosen in studies:
            base = chosen.base
            renew(base)
            hosts = lost_hosts(base, {*chosen.named, *chosen.selected()}, supervisor)
            for number in chosen.named:
                if number not in hosts:
                    raise _not_lost(base, number)
            work.append((base, hosts))
        for base, hosts in work:
            for number, host in hosts.items():
                yield LostRun(
                    base.study.name, number, host, _give_up(config, base, number, host, supervisor)
                )


def lost_hosts(
    base: StudyBase, numbers: Collection[int], supervisor: Identity | None
) -> dict[int, str]:
    """By id, the hosts of those runs that are executed where no launcher looks after them."""
    hosts = {}
    for number, run in base.loaded((n, base.runs.entries.get(n)) for n in sorted(numbers)):
        host = None if run is None else _lost_host(base.study, run.entries, supervisor)
        if host is not None:
            hosts[number] = host
    return hosts


def _lost_host(
    study: StudyConfig, entries: Mapping[str, Any], supervisor: Identity | None
) -> str | None:
    own = OwnEntries(entries)
    is_over = own.ended_state or own.exit_code is not None
    if not study.is_local or own.is_job or is_over or state_of(entries) in WAITING_STATES:
        return None
    claim = claim_of(study, entries)
    if claim is None or not is_elsewhere(study, entries, claim):
        return None
    if supervisor is not None and claim.wrapper.process.boot_id == supervisor.boot_id:
        return None  # its launcher sees it
    return claim.wrapper.process.host


def _give_up(
    config: WorkflowConfig, base: StudyBase, number: int, host: str, supervisor: Identity | None
) -> str:
    study, reason = base.study, f"declared lost: it was started on {host}"
    fenced: set[int] = set()

    def work() -> str:
        run = base.runs.entries[number]
        attempt = attempt_of(run.entries)
        if attempt not in fenced:
            fence(config.directory, study.name, number, attempt, reason)
            fenced.add(attempt)
            renew(base)  # changes that the attempt has committed before the fence are valid
            run = base.runs.entries[number]
        if _lost_host(study, run.entries, supervisor) is not None:
            who = OwnEntries(run.entries).cancelled_by
            end = End(reason=reason, interrupted=True)
            if who:
                end = End(reason=cancelled_reason(who), final=True)
            policy = policy_of(study, dict(run.entries.items()))
            OwnEntries(run.entries).update(settle(run.entries, end, policy=policy, now=time.time()))
        return state_of(run.entries)

    return commit_now(base, work)


def _not_lost(base: StudyBase, number: int) -> MotokoError:
    run = base.runs.entries.get(number)
    if run is None:
        return no_such_run(base, number)
    return NotLost(
        f"run {base.study.name}.{number} is not lost: it is {state_of(run.entries)}, and not "
        "executed on another host than its supervisor's",
        hint=f"`motoko explain {base.study.name}.{number}` tells where it is; nothing was changed",
    )
