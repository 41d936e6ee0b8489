"""Executing failed runs again."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from motoko.batch import registry
from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, kind_of
from motoko.config.decoding import WrongValue
from motoko.control import client
from motoko.errors import BeingExecuted, MotokoError, NotFailed, ParameterError
from motoko.operations.choosing import END_S, Choice, no_such_run
from motoko.operations.renewing import renew_launchers
from motoko.operations.starting import Announce
from motoko.runs.claims import read_claim
from motoko.runs.entries import PRESENT_FILES, SAME_FILES, OwnEntries, as_created
from motoko.runs.job_facts import is_followed
from motoko.runs.processes import directory_of
from motoko.runs.processes import running as running_of
from motoko.runs.run_policy import policy_of
from motoko.runs.states import (
    CREATED,
    FAILED_STATES,
    state_of,
)
from motoko.store import config_files
from motoko.store.base import StudyBase
from motoko.store.present_files import StudyFiles
from motoko.store.transactions import commit_now, renew


@dataclass(frozen=True)
class RetriedRun:
    """A run that will be executed again, with the number of its new attempt."""

    study: str
    run_id: int
    attempt: int


def retry_runs(
    config: WorkflowConfig,
    choice: Choice,
    policy: Mapping[str, Any] = MappingProxyType({}),
    *,
    announce: Announce,
    same_files: bool = False,
) -> Iterator[RetriedRun]:
    """Have failed runs executed again: those that are named, and those that obey constraints.

    Launchers that do not use the current motoko.yaml yet are restarted first.

    Args:
        config: the workflow, as its files are now.
        choice: the runs.
        policy: changes in how the runs are executed from now on: see :func:`changed_policy`.
        announce: gets a line for each launcher that is restarted.
        same_files: whether the runs keep their previous files, instead of the current ones.

    Raises what :func:`retry` raises; then nothing is changed.
    """
    with choice.opened(config) as studies:
        work: list[tuple[StudyBase, list[int]]] = []
        for chosen in studies:
            failed = chosen.selected(FAILED_STATES)
            numbers = sorted({*chosen.named, *failed}) if failed else list(chosen.named)
            check_retry(chosen.base, numbers, policy)
            work.append((chosen.base, numbers))
        renew_launchers(config, [base.study.name for base, numbers in work if numbers], announce)
        for base, numbers in work:
            for number, attempt in retry(base, numbers, policy, same_files=same_files).items():
                yield RetriedRun(base.study.name, number, attempt)


def has_launcher(config: WorkflowConfig) -> bool:
    """Whether a launcher is running."""
    return any(kind_of(name) == LAUNCHER for name in client.daemons_at_work(config))


def changed_policy(
    study: StudyConfig, entries: Mapping[str, Any], policy: Mapping[str, Any]
) -> dict[str, Any]:
    """The entries that change how a run is executed from now on.

    Args:
        study: the run's study.
        entries: the run's entries, as they are now.
        policy: values by name, as in ``createTask(run_params=...)``; variables and options are
            added to the existing ones.

    Raises ``ParameterError`` for a wrong value, for a name that the study declares itself, and for
    options of a batch system that does not get the run.
    """
    changed = dict(policy)
    for name, value in policy.items():
        if name in study.runs and name != "nproc":
            raise ParameterError(
                f"study {study.name}: {name!r} is a parameter of its own, and says nothing of how "
                "runs are executed",
                hint=f"it is declared below `run:` in {study.name}/bd.yaml",
            )
        _refuse_without_effect(study, entries, name)
        present = entries.get(name)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            changed[name] = {**present, **value}
        elif isinstance(value, list) and isinstance(present, (list, tuple)):
            changed[name] = [*present, *value]
    try:
        policy_of(study, {**entries, **changed})
    except WrongValue as error:
        raise ParameterError(f"study {study.name}: {error}", hint=error.hint) from None
    return changed


def _refuse_without_effect(study: StudyConfig, entries: Mapping[str, Any], name: str) -> None:
    """Refuse options of a batch system that is neither motoko.yaml's nor the run's last one."""
    for system in registry.systems().values():
        if name == registry.options_key(system.name) and system.name not in (
            study.generator,
            OwnEntries(entries).batch_system,
        ):
            raise ParameterError(
                f"study {study.name}: {name} would have no effect: its runs are executed by "
                f"`generator: {study.generator}`",
                hint=f"options are for runs that are handed to {system.title}: leave them out, or "
                f"write `generator: {system.name}` in motoko.yaml",
            )


def retry(
    base: StudyBase,
    numbers: Collection[int],
    policy: Mapping[str, Any] = MappingProxyType({}),
    *,
    same_files: bool = False,
) -> dict[int, int]:
    """Have failed runs executed again; returns the number of the new attempt of each.

    The runs get the study's current ``launch.sh``, ``doIt.py`` and config files: the cause of the
    failure may have been mended there. With ``same_files`` they keep their previous files.

    Raises ``MotokoError`` for a run that does not exist, has not failed, or whose processes are
    not gone, and for a wrong policy; then nothing is changed.
    """
    check_retry(base, numbers, policy)
    study = base.study
    present = None if same_files else StudyFiles(study, keeping=True).present()

    def work() -> dict[int, int]:
        attempts = {}
        for number in numbers:
            run = base.runs.entries.get(number)
            if run is None or state_of(run.entries) not in FAILED_STATES:
                raise _not_failed(base, number)
            own = OwnEntries(run.entries)
            if changed := changed_policy(study, dict(run.entries.items()), policy):
                if "nproc" in changed:
                    own.update({"created_nproc": as_created(run.entries, "nproc")})
                for name, value in changed.items():
                    run.entries[name] = value
            attempts[number] = _retry(study, run.entries)
            own.update({"files_wanted": SAME_FILES if same_files else PRESENT_FILES})
            if present is not None:
                config_files.assign(base, run, present)
        return attempts

    return commit_now(base, work)


def check_retry(
    base: StudyBase, numbers: Collection[int], policy: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Raise what :func:`retry` would raise, and change nothing."""
    renew(base)
    deadline = time.monotonic() + END_S
    failed_runs: dict[int, Any] = {}
    for number in numbers:
        run = base.runs.entries.get(number)
        if run is None or state_of(run.entries) not in FAILED_STATES:
            raise _not_failed(base, number)
        if is_followed(run.entries):
            job = OwnEntries(run.entries).batch_job_id or "that is being submitted"
            raise BeingExecuted(
                f"run {base.study.name}.{number} has failed, but its job {job} may not be over",
                hint="wait until its launcher has seen the end: `motoko explain` tells",
            )
        changed_policy(base.study, dict(run.entries.items()), policy)
        failed_runs[number] = run.entries
    for number in sorted(running_of(base.study, failed_runs, deadline)):
        directory = directory_of(base.study, failed_runs[number])
        raise BeingExecuted(
            f"run {base.study.name}.{number} has failed, but its processes are not gone",
            hint=f"end them (they are in {directory}), or wait",
        )


def _retry(study: StudyConfig, entries: Any) -> int:
    own = OwnEntries(entries)
    attempt = own.attempt
    directory = directory_of(study, entries)
    # Attempts count executions: an attempt that could not even start is not counted.
    if "run_path" in entries and (
        directory is None or not directory.is_dir() or read_claim(directory, attempt) is not None
    ):
        attempt += 1
    if reason := own.failure_reason:
        own.update({"last_failure": reason})
    own.drop(
        *("ended_state", "attempt_ended", "failure_reason", "exit_code", "retry_at"),
        *("cancelled_by", "cpu_s", "max_rss_bytes"),
    )
    own.update({"state": CREATED, "attempt": attempt})
    return attempt


def _not_failed(base: StudyBase, number: int) -> MotokoError:
    study, run = base.study.name, base.runs.entries.get(number)
    if run is None:
        return no_such_run(base, number)
    return NotFailed(
        f"run {study}.{number} is {run.entries.get('state')}: only failed runs are retried",
        hint=f"to execute it anew: motoko clean {study}.{number}",
    )
