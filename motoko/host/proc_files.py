"""What /proc says of this host and its processes, with few imports: the relay uses it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's identifier of the present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


STAT_MAX = 4096  # bytes: more than any line has


def stat_of(pid: int | str) -> bytes:
    """The line of a process. Raises ``OSError`` if it is gone, or hidden.

    There may be many processes, and a file object would take most of the time.
    """
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, STAT_MAX)
    finally:
        os.close(descriptor)


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; ``None`` if it is gone or a zombie.

    Also ``None`` for another user's process where the system hides those: ours are not among them.
    """
    try:
        stat = stat_of(pid)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return ticks_in(stat)


def fields_of(pid: int) -> list[bytes] | None:
    """The :func:`fields_in` the line of a process; ``None`` if it is gone, or hidden."""
    try:
        return fields_in(stat_of(pid))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def ticks_in(stat: bytes) -> int | None:
    """When the process of a line of ``/proc/<pid>/stat`` started; ``None`` for a zombie.

    Raises ``ValueError`` if the text is not such a line, or only a part of one.
    """
    fields = fields_in(stat)
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def fields_in(stat: bytes) -> list[bytes]:
    """The fields after the command's name in a line of ``/proc/<pid>/stat``: state, parent, ...

    Raises ``ValueError`` if the text is not such a line, or only a part of one.
    """
    # The command name, in parentheses, may hold anything, even spaces and parentheses.
    fields = stat.rpartition(b")")[2].split(None, 20)
    if len(fields) < 20:
        raise ValueError(f"no line of /proc/<pid>/stat: {stat!r}")
    return fields


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with.

    ``None`` if the process was started without the variable, has ended, or does not show it: for
    instance another user's process, or one that has overwritten its environment.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            environment = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    beginning = f"{name}=".encode()
    for entry in environment.split(b"\0") if beginning in environment else []:
        if entry.startswith(beginning):
            return os.fsdecode(entry.removeprefix(beginning))
    return None
