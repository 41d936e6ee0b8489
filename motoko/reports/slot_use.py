"""The holders of a workflow's slots, and the queue for slots, by /proc. Changes nothing.

Trying the locks would take them for a moment, in which launchers could not get them. So this module
looks which processes have the slots' files open.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, subject_of
from motoko.control import daemon_records
from motoko.host import clock
from motoko.host.identity import Identity
from motoko.host.living_processes import command_line, processes
from motoko.reports.run_facts import Holder
from motoko.runs.marks import wrapper_in
from motoko.runs.paths import CLAIM, own_folder, run_directory, run_of
from motoko.runs.references import reference
from motoko.runs.wrappers import Wrapper


def slot_directory(config: WorkflowConfig) -> Path:
    """The directory of the slots' files."""
    return config.directory / ".wf" / "locks" / "slots"


def holders(config: WorkflowConfig) -> list[Holder]:
    """The holders of slots, runs, named STUDY.ID, and other processes, in the order of starts."""
    slots: defaultdict[Wrapper | int, set[str]] = defaultdict(set)  # a session is an int
    members: defaultdict[Wrapper | int, list[Identity]] = defaultdict(list)
    root = os.path.realpath(slot_directory(config)) + os.sep
    for process in processes():
        identity = process.identity
        with contextlib.suppress(OSError):  # the process has just ended, or is another user's
            held = {
                link.removeprefix(root)
                for link in _open_files(Path(f"/proc/{identity.pid}"))
                if link.startswith(root) and link.removeprefix(root).isdigit()
            }
            if held:
                owner = wrapper_in(process) or process.session
                slots[owner] |= held
                members[owner].append(identity)
    launchers = {
        daemon.identity for daemon in daemon_records.living_daemons(daemon_records.records(config))
    }
    holding: list[tuple[int, Holder]] = []
    for owner, held in slots.items():
        if not launchers.isdisjoint(members[owner]):
            continue  # the launcher is about to hand its slots on
        # A wrapper lives longer than its turn.
        lasting = owner.process if isinstance(owner, Wrapper) and owner.turn else None
        begun = [process for process in members[owner] if process != lasting]
        first = min(begun, key=lambda process: process.start_ticks, default=None)
        since = None if first is None else clock.started_at(first)
        ticks = 0 if first is None else first.start_ticks
        pids = [process.pid for process in members[owner]]
        name, directory = _run_in(config, pids) or (f"pid {pids[0]}", None)
        if first is not None and directory is not None and _is_warm(first):
            claimed = _claimed_at(directory)
            if claimed is not None:
                since, ticks = claimed, clock.ticks_at(claimed)
        holding.append((ticks, Holder(name, len(held), since)))
    return in_order(holding)


def in_order(holding: Iterable[tuple[int, Holder]]) -> list[Holder]:
    """Holders by the ticks at which they were started, and those of the same tick by run.

    The clock's time of a start is not exact enough: it would put runs that were started together
    in another order each time.
    """

    def key(held: tuple[int, Holder]) -> tuple[int, str, int]:
        ticks, holder = held
        study, number = reference(holder.name) or (holder.name, 0)
        return ticks, study, number

    return [holder for _, holder in sorted(holding, key=key)]


def queue(config: WorkflowConfig) -> list[str]:
    """The studies whose launchers wait for slots, in their order."""
    living = daemon_records.living_daemons(daemon_records.records(config))
    studies = {
        str(daemon.identity.pid): subject_of(daemon.name)
        for daemon in living
        if daemon.kind == LAUNCHER
    }
    tickets = sorted(path.name for path in slot_directory(config).glob("queue/[0-9]*"))
    owners = (ticket.partition("-")[2] for ticket in tickets)
    return [studies[owner] for owner in owners if owner in studies]


def _open_files(process: Path) -> Iterator[str]:
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(descriptor.readlink())


def _is_warm(process: Identity) -> bool:
    """Whether a process was forked before it became a run."""
    return any(text.endswith("/warm_template.py") for text in command_line(process)[:3])


def _claimed_at(directory: Path) -> float | None:
    """When the last attempt of a run was claimed (seconds since 1970), if that can be seen."""
    try:
        claims = [path.stat().st_mtime for path in own_folder(directory).glob(f"{CLAIM}*")]
    except OSError:  # they have just been removed, or cannot be read now
        return None
    return max(claims, default=None)


def _run_in(config: WorkflowConfig, pids: list[int]) -> tuple[str, Path] | None:
    """The run in whose directory one of the processes works, as STUDY.ID, and the directory."""
    for pid in pids:
        with contextlib.suppress(OSError):
            where = Path(f"/proc/{pid}/cwd").readlink()
            for study in config.studies.values():
                if (number := run_of(study, where)) is not None:
                    return f"{study.name}.{number}", run_directory(study, number)
    return None
