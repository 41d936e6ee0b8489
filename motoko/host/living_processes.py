"""The living processes of this machine, and what they belong to: by one scan of /proc."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from motoko.host.identity import Identity, pid_namespace
from motoko.host.proc_files import boot_id, fields_in, stat_of


@dataclass(frozen=True)
class Process:
    """One living process.

    Attributes:
        parent: the pid of the process that has started it, or that has inherited it.
        session: the number of its session: the pid of the process that has begun the session.
    """

    identity: Identity
    parent: int
    session: int


def processes(since: int = 0) -> list[Process]:
    """All living processes that can be seen; zombies do not count.

    ``since``: only those that started then or later, in clock ticks since boot.
    """
    here, boot, namespace = socket.gethostname(), boot_id(), pid_namespace()
    table = []
    for name in (entry.name for entry in os.scandir("/proc")):
        if not name.isdigit():
            continue
        try:
            fields = fields_in(stat_of(name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # the process has just ended, or is hidden
        if int(fields[19]) >= since and fields[0] not in (b"Z", b"X"):
            identity = Identity(int(name), int(fields[19]), boot, here, namespace)
            table.append(Process(identity, int(fields[1]), int(fields[3])))
    return table


def session_members(*sessions: int) -> list[tuple[Identity, int]]:
    """The living processes of some sessions, each with its session."""
    return [
        (process.identity, process.session)
        for process in processes()
        if process.session in sessions
    ]


def command_line(identity: Identity) -> list[str]:
    """A process's program and arguments; empty if it is gone."""
    command = command_of(identity.pid)
    return command if identity.alive else []


def command_of(pid: int) -> list[str]:
    """The program and arguments of whatever process has a pid now; empty if there is none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            return [os.fsdecode(argument) for argument in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def working_directory(pid: int) -> str | None:
    """The working directory of a process; ``None`` if it is gone, or another user's."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return None


def loads(identity: Identity, part: str) -> bool:
    """Whether a process is seen to have loaded a library whose path has a given part."""
    try:
        return part in Path(f"/proc/{identity.pid}/maps").read_text(errors="replace")
    except OSError:
        return False


def own_commands() -> Iterator[tuple[Identity, list[str]]]:
    """Our user's living processes, each with its command line."""
    for process in processes():
        with contextlib.suppress(OSError):  # the process has just ended
            if Path(f"/proc/{process.identity.pid}").stat().st_uid == os.getuid():
                yield process.identity, command_line(process.identity)


def processes_with(*arguments: str) -> list[tuple[Identity, list[str]]]:
    """Our living processes whose arguments begin with these and go on, with all arguments."""
    count = len(arguments)
    return [
        (identity, texts)
        for identity, (_, *texts) in ((who, line) for who, line in own_commands() if line)
        if tuple(texts[:count]) == arguments and len(texts) > count
    ]
