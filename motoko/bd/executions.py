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

from persistent.TimeStamp import TimeStamp

from motoko.bd.trees import children
from motoko.config import StudyConfig
from motoko.identity import Identity, session_members
from motoko.job_facts import is_followed
from motoko.states import RUNNING_STATES
from motoko.workers.wrapper import Claim, read_claim


def attempt_of(entries: Mapping[str, Any]) -> int:
    """The number of a run's present attempt."""
    return int(entries.get("attempt") or 1)


def is_here(entries: Mapping[str, Any]) -> bool:
    """Whether a run is one that launchers on this host start."""
    return entries.get("machine_name") in ("localhost", socket.gethostname())


def directory_of(study: StudyConfig, entries: Mapping[str, Any]) -> Path | None:
    """Where a run is executed, if that is within this study: a copied workflow's is not."""
    directory = study.directory / f"BD-{study.name}-runs" / f"run-{entries['id']}"
    path = entries.get("run_path")
    if not path or os.path.realpath(path) == os.path.realpath(directory):
        return directory
    return None


def claim_of(study: StudyConfig, entries: Mapping[str, Any]) -> Claim | None:
    """Who has started a run's present attempt; ``None`` if nobody has."""
    directory = directory_of(study, entries)
    return None if directory is None else read_claim(directory, attempt_of(entries))


def changed_at(run: Any) -> float:
    """When a run's record was changed last (seconds since 1970)."""
    tree = run.entries
    leaves = children(tree)
    for leaf in leaves:
        leaf._p_activate()
    newest = max(each._p_serial for each in (tree, *leaves))
    return float(TimeStamp(newest).timeTime())


def members(*claims: Claim) -> list[Identity]:
    """What lives of some attempts: all of their wrappers' sessions."""
    wrappers = {c.wrapper.pid: c.wrapper for c in claims if c.since_reboot and c.wrapper.pid}
    if not wrappers:
        return []
    found = session_members(*wrappers)
    # If another process has the number now, the wrapper's session was gone before.
    reused = {m.pid for m, _ in found if m.pid in wrappers and m != wrappers[m.pid]}
    return [member for member, session in found if session not in reused]


def end_processes(claims: Collection[Claim], grace: float) -> None:
    """End all that lives of some attempts: politely, and after some seconds by SIGKILL.

    The wrappers are left to record the exits, as long as they do that within the same time.
    """
    wrappers = {claim.wrapper for claim in claims}
    start = time.monotonic()
    told: set[Identity] = set()
    while living := members(*claims):
        passed = time.monotonic() - start
        if passed > 3 * grace:
            return  # something cannot even be killed (a hung file system)
        for member in living:
            if passed >= 2 * grace or (passed >= grace and member not in wrappers):
                member.signal(signal.SIGKILL)
            elif member not in told and member not in wrappers:
                member.signal(signal.SIGTERM)
                told.add(member)
        # Others may have begun meanwhile: they are found at the next look.
        wait_for(living[-1], min(grace - passed, 0.1) if passed < grace else 0.1)


def is_running(study: StudyConfig, entries: Mapping[str, Any], deadline: float = 0.0) -> bool:
    """Whether a run is being executed; one that says it has ended may do so until ``deadline``."""
    if is_followed(entries):
        return True  # a job: only its launcher knows when it is over, and writes it down
    on_its_way = entries.get("state") in RUNNING_STATES
    if on_its_way and not is_here(entries):
        return True  # nobody can tell from here
    claim = claim_of(study, entries)
    while living := members(claim) if claim is not None else []:
        patience = 0.0 if on_its_way else deadline - time.monotonic()
        if patience <= 0:
            return True
        wait_for(living[0], patience)
    return False


def wait_for(process: Identity, timeout: float) -> None:
    """Sleep until a process has ended, or some seconds have passed."""
    pidfd = process.open_pidfd()
    if pidfd is not None:
        try:
            select.select([pidfd], [], [], timeout)
        finally:
            os.close(pidfd)


def take_claim(study: StudyConfig, entries: Mapping[str, Any]) -> bool:
    """Make sure that nobody starts the attempt that was prepared last; ``False`` if one did."""
    directory = directory_of(study, entries)
    if entries.get("state") not in RUNNING_STATES or directory is None:
        return True
    try:
        (directory / f"attempt-{attempt_of(entries)}").touch(exist_ok=False)
    except FileExistsError:
        return not is_running(study, entries)
    except FileNotFoundError:
        pass  # there is no directory to be started in
    return True
