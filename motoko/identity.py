"""Who a process is: pid, start ticks, boot and host, never the pid alone.

A pid is reused after a process has ended, ``create_time()`` moves with NTP, and a workflow's
directory may be seen from several login nodes or after a reboot. Only the four together name one
process for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's identifier of the present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; ``None`` if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Identity:
    """One process, for ever."""

    pid: int
    start_ticks: int
    boot_id: str
    host: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a living process of this host, or ``None`` if there is none."""
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid, ticks, boot_id(), socket.gethostname())

    @classmethod
    def mine(cls) -> Identity:
        """The identity of the calling process."""
        me = cls.of(os.getpid())
        assert me is not None  # the caller is alive
        return me

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Identity:
        """The inverse of :meth:`to_dict`; ``KeyError`` or ``ValueError`` on other mappings."""
        return cls(
            int(data["pid"]), int(data["start_ticks"]), str(data["boot_id"]), str(data["host"])
        )

    def to_dict(self) -> dict[str, Any]:
        """As a mapping that JSON can hold."""
        return asdict(self)

    @property
    def is_here(self) -> bool:
        """Whether it ran on this host since its last boot."""
        return self.boot_id == boot_id() and self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether this very process lives, on this host. Processes elsewhere count as dead."""
        return self.is_here and start_ticks(self.pid) == self.start_ticks

    def open_pidfd(self) -> int | None:
        """A pidfd of this very process, or ``None`` if it is gone. The caller closes it."""
        if not self.is_here:
            return None
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # Checked after opening: from here on the descriptor can mean no other process.
        if start_ticks(self.pid) != self.start_ticks:
            os.close(fd)
            return None
        return fd

    def signal(self, number: int = signal.SIGTERM) -> bool:
        """Signal this very process; ``False`` if it is gone (nothing was signalled)."""
        fd = self.open_pidfd()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True


def processes_with(*arguments: str) -> list[tuple[Identity, list[str]]]:
    """Our living processes whose program has these first arguments and more, with all of them."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or (identity := Identity.of(int(entry.name))) is None:
            continue
        with contextlib.suppress(OSError):  # it has just ended
            if entry.stat().st_uid != os.getuid():
                continue
            command = Path(entry.path, "cmdline").read_bytes().split(b"\0")[1:-1]
            texts = [os.fsdecode(each) for each in command]
            begins = tuple(texts[: len(arguments)]) == arguments and len(texts) > len(arguments)
            if begins and identity.alive:
                found.append((identity, texts))
    return found


def session_members(*sessions: int) -> list[tuple[Identity, int]]:
    """The living processes of some sessions, each with its session (one scan of /proc)."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if (session := os.getsid(pid)) in sessions and (identity := Identity.of(pid)):
                found.append((identity, session))
    return found
