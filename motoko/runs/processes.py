"""Whether runs are being executed, and by which processes: from the claims in their directories."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from motoko.config import StudyConfig
from motoko.host.identity import Identity
from motoko.runs.claims import Claim, Where, read_claim, read_exit
from motoko.runs.entries import OwnEntries
from motoko.runs.job_facts import is_followed
from motoko.runs.paths import claim_path, present_directory, run_directory
from motoko.runs.sessions import kill, members_of, survivors
from motoko.runs.states import (
    RUNNING_STATES,
    state_of,
)
from motoko.runs.wrappers import Wrapper

_LOOK_S = 0.1  # how often to look whether processes are left


def attempt_of(entries: Mapping[str, Any]) -> int:
    """The number of a run's present attempt."""
    return OwnEntries(entries).attempt


def is_here(entries: Mapping[str, Any]) -> bool:
    """Whether a run is one that launchers on this host start."""
    return entries.get("machine_name") in ("localhost", socket.gethostname())


def directory_of(study: StudyConfig, entries: Mapping[str, Any]) -> Path | None:
    """The directory where a run is executed; ``None`` if it is outside of this study."""
    directory = run_directory(study, entries["id"])
    path = present_directory(study, entries)
    if path is None or os.path.realpath(path) == os.path.realpath(directory):
        return directory
    return None


def claim_of(study: StudyConfig, entries: Mapping[str, Any]) -> Claim | None:
    """The claim of a run's present attempt; ``None`` if the attempt was not started."""
    directory = directory_of(study, entries)
    if directory is None:
        return None
    return read_claim(directory, attempt_of(entries), study.directory.parent)


def members(*claims: Claim) -> list[Identity]:
    """The living processes of some attempts on this host."""
    return survivors(*(claim.wrapper for claim in claims if claim.is_here))


def end_processes(claims: Collection[Claim], grace: float) -> None:
    """End all processes of some attempts: by SIGTERM, and after ``grace`` seconds by SIGKILL.

    The wrappers are spared for another ``grace`` seconds, so that they can record the exits.
    """
    here = [claim.wrapper for claim in claims if claim.is_here]
    start = time.monotonic()
    asked: set[Identity] = set()
    while living := members_of(*here):
        passed = time.monotonic() - start
        if passed > 3 * grace:
            return  # a process cannot even be killed (a hung file system)
        for member, wrapper in living:
            is_wrapper = member == wrapper.process
            if passed >= (2 * grace if is_wrapper else grace):
                kill(member, wrapper)
            elif member not in asked and not is_wrapper:
                member.signal(signal.SIGTERM)
                asked.add(member)
        # New processes may have begun meanwhile: the next look finds them.
        wait_for(living[-1][0], min(grace - passed, _LOOK_S) if passed < grace else _LOOK_S)


def is_running(study: StudyConfig, entries: Mapping[str, Any], deadline: float = 0.0) -> bool:
    """Whether a run is being executed: :func:`running` for one run."""
    return bool(running(study, {0: entries}, deadline))


def running(
    study: StudyConfig, runs: Mapping[int, Mapping[str, Any]], deadline: float = 0.0
) -> set[int]:
    """The runs of ``runs`` that are being executed. One scan of /proc serves any number of runs.

    Args:
        study: the runs' study.
        runs: their entries, by id.
        deadline: the time (``time.monotonic``) until which to wait for the processes of runs whose
            states say that they have ended.

    A run on another host cannot be seen from here: it counts as executed until its end is recorded.
    Raises ``UnreadableRecord``.
    """
    busy: set[int] = set()
    claims: dict[int, Claim] = {}
    for number, entries in runs.items():
        if is_followed(entries) or (_is_on_its_way(entries) and not is_here(entries)):
            busy.add(number)  # a job: only its launcher knows when it is over, and records that
        elif (claim := claim_of(study, entries)) is not None:
            if claim.is_here:
                claims[number] = claim
            elif is_elsewhere(study, entries, claim):
                busy.add(number)
    while claims:
        living = {wrapper: member for member, wrapper in _members(claims)}
        claims = {n: claim for n, claim in claims.items() if claim.wrapper in living}
        patience = deadline - time.monotonic()
        patient = {n for n in claims if patience > 0 and not _is_on_its_way(runs[n])}
        busy |= claims.keys() - patient
        claims = {n: claims[n] for n in patient}
        if claims:
            # The wrapper's turn may end, and the wrapper itself live on.
            wait_for(living[next(iter(claims.values())).wrapper], min(patience, _LOOK_S))
    return busy


def _members(claims: Mapping[int, Claim]) -> list[tuple[Identity, Wrapper]]:
    return members_of(*(claim.wrapper for claim in claims.values()))


def _is_on_its_way(entries: Mapping[str, Any]) -> bool:
    return state_of(entries) in RUNNING_STATES


def is_elsewhere(study: StudyConfig, entries: Mapping[str, Any], claim: Claim) -> bool:
    """Whether another host has started a run's present attempt, whose end is not recorded."""
    directory = directory_of(study, entries)
    return (
        claim.where is Where.ELSEWHERE
        and directory is not None
        and read_exit(directory, attempt_of(entries)) is None
    )


def wait_for(process: Identity, timeout: float) -> None:
    """Sleep until a process has ended, or some seconds have passed."""
    pidfd = process.open_pidfd()
    if pidfd is not None:
        try:
            select.select([pidfd], [], [], timeout)
        finally:
            os.close(pidfd)


def take_claim(study: StudyConfig, entries: Mapping[str, Any]) -> bool:
    """Make sure that the attempt that was prepared last is not started.

    ``False`` if it is claimed already: it was started, and may still run.
    """
    directory = directory_of(study, entries)
    if not _is_on_its_way(entries) or directory is None:
        return True
    try:
        claim_path(directory, attempt_of(entries)).touch(exist_ok=False)
    except FileExistsError:
        return False
    except FileNotFoundError:
        pass  # there is no directory in which it could be started
    return True
