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
from motoko.reports.run_facts import Holder
from motoko.runs.paths import run_of
from motoko.runs.references import reference


def slot_directory(config: WorkflowConfig) -> Path:
    """The directory of the slots' files."""
    return config.directory / ".wf" / "locks" / "slots"


def holders(config: WorkflowConfig) -> list[Holder]:
    """The holders of slots, runs, named STUDY.ID, and other processes, in the order of starts."""
    slots: defaultdict[int, set[str]] = defaultdict(set)  # by session
    members: defaultdict[int, list[int]] = defaultdict(list)
    root = os.path.realpath(slot_directory(config)) + os.sep
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has just ended, or is another user's
            held = {
                link.removeprefix(root)
                for link in _open_files(process)
                if link.startswith(root) and link.removeprefix(root).isdigit()
            }
            if held:
                session = os.getsid(int(process.name))
                slots[session] |= held
                members[session].append(int(process.name))
    launchers = {
        daemon.identity.pid
        for daemon in daemon_records.living_daemons(daemon_records.records(config))
    }
    holding: list[tuple[int, Holder]] = []
    for session, held in slots.items():
        if session in launchers:
            continue  # the launcher is about to hand its slots on
        started = [who for pid in members[session] if (who := Identity.of(pid)) is not None]
        first = min(started, key=lambda who: who.start_ticks, default=None)
        since = None if first is None else clock.started_at(first)
        name = _run_in(config, members[session]) or f"pid {members[session][0]}"
        ticks = 0 if first is None else first.start_ticks
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


def _run_in(config: WorkflowConfig, pids: list[int]) -> str | None:
    """The run in whose directory one of the processes works, as STUDY.ID."""
    for pid in pids:
        with contextlib.suppress(OSError):
            where = Path(f"/proc/{pid}/cwd").readlink()
            for study in config.studies.values():
                if (number := run_of(study, where)) is not None:
                    return f"{study.name}.{number}"
    return None
