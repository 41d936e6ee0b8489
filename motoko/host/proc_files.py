"""What /proc says of this host and its processes, in as few modules as can be: see the relay."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's identifier of the present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; ``None`` if it is gone or a zombie.

    Also of another user's where the system hides those: nothing of ours is among them.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return ticks_in(stat)


def fields_of(pid: int) -> list[bytes] | None:
    """What :func:`fields_in` reads of a process; ``None`` if it is gone, or hidden."""
    try:
        return fields_in(Path(f"/proc/{pid}/stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def ticks_in(stat: bytes) -> int | None:
    """When the process of a line of ``/proc/<pid>/stat`` started; ``None`` of a zombie.

    Raises ``ValueError`` if it is no such line, or a part of one.
    """
    fields = fields_in(stat)
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def fields_in(stat: bytes) -> list[bytes]:
    """What follows the command's name in a line of ``/proc/<pid>/stat``: its state, its parent...

    Raises ``ValueError`` if it is no such line, or a part of one.
    """
    # The command name, in parentheses, may hold anything, spaces and parentheses too.
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < 20:
        raise ValueError(f"no line of /proc/<pid>/stat: {stat!r}")
    return fields


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with.

    ``None`` if it was started without, has ended, or does not show it: another user's, say, or one
    that has written something else in its place.
    """
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    beginning = f"{name}=".encode()
    for entry in environment.split(b"\0") if beginning in environment else []:
        if entry.startswith(beginning):
            return os.fsdecode(entry.removeprefix(beginning))
    return None
