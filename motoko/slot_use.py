"""Who holds a workflow's slots and who waits for some, as far as /proc tells. Changes nothing.

Trying the locks would take them for a moment, and others would go without. So it is looked at who
has the slots' files open.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from motoko import control
from motoko.config import WorkflowConfig
from motoko.explaining import Holder
from motoko.identity import Identity

_RUN = re.compile(r"/BD-[^/]+-runs/run-(\d+)(/|$)")


def slot_directory(config: WorkflowConfig) -> Path:
    """Where the slots' files are."""
    return config.directory / ".wf" / "locks" / "slots"


def holders(config: WorkflowConfig) -> list[Holder]:
    """Who holds slots: runs by STUDY.ID, and other processes."""
    slots: defaultdict[int, set[str]] = defaultdict(set)  # by session
    members: defaultdict[int, list[int]] = defaultdict(list)
    root = os.path.realpath(slot_directory(config)) + os.sep
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just gone, or is another user's
            held = {
                link.removeprefix(root)
                for link in _open_files(process)
                if link.startswith(root) and link.removeprefix(root).isdigit()
            }
            if held:
                session = os.getsid(int(process.name))
                slots[session] |= held
                members[session].append(int(process.name))
    launchers = {each.identity.pid for each in control.living_daemons(control.records(config))}
    found = []
    for session, held in slots.items():
        if session in launchers:
            continue  # it is about to hand them on
        started = [who for pid in members[session] if (who := Identity.of(pid)) is not None]
        since = min((time.time() - control.uptime_s(who) for who in started), default=None)
        name = _run_in(config, members[session]) or f"pid {members[session][0]}"
        found.append(Holder(name, len(held), since))
    return sorted(found, key=lambda holder: holder.since or 0.0)


def queue(config: WorkflowConfig) -> list[str]:
    """The studies whose launchers wait for slots, the first one first."""
    living = control.living_daemons(control.records(config))
    studies = {
        str(each.identity.pid): each.name.partition(":")[2]
        for each in living
        if each.kind == "launcher"
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
            where = str(Path(f"/proc/{pid}/cwd").readlink())
            for study in config.studies.values():
                rest = where.removeprefix(os.path.realpath(study.directory))
                if rest != where and (match := _RUN.match(rest)):
                    return f"{study.name}.{match[1]}"
    return None
