"""The identity of a process: pid, namespace, start ticks and boot, never the pid alone.

A pid is reused after a process has ended, ``create_time()`` moves with NTP, and a workflow's
directory may be seen from several login nodes, from a container or after a reboot. Only all of them
together name one process for ever. The host's name is only shown to users: it may change.
"""

from __future__ import annotations

import os
import platform
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from motoko.errors import MotokoError
from motoko.host.proc_files import boot_id, start_ticks


class KernelTooOld(MotokoError):
    """The kernel lacks what Motoko needs, or a container does not allow it."""


def check_kernel() -> None:
    """Raise ``KernelTooOld`` if processes cannot be signalled safely: on Linux before 5.3."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise KernelTooOld(
            f"this system has no pidfd_open ({platform.system()} {platform.release()})",
            hint="Motoko needs Linux 5.3 or newer; a container must allow pidfd_open",
        ) from error


@lru_cache(maxsize=1)
def pid_namespace() -> str:
    """The namespace of our pids: a container has its own. Empty if it is not known."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@dataclass(frozen=True)
class Identity:
    """One process, for ever."""

    pid: int
    start_ticks: int
    boot_id: str
    host: str = field(compare=False)
    namespace: str = field(default="", compare=False)  # empty: of an earlier version

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a living process of this host, or ``None`` if there is none."""
        ticks = start_ticks(pid)
        if ticks is None:
            return None
        return cls(pid, ticks, boot_id(), socket.gethostname(), pid_namespace())

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
            int(data["pid"]),
            int(data["start_ticks"]),
            str(data["boot_id"]),
            str(data["host"]),
            str(data.get("namespace", "")),
        )

    def to_dict(self) -> dict[str, Any]:
        """As a mapping that JSON can hold."""
        return asdict(self)

    @property
    def is_here(self) -> bool:
        """Whether it ran on this host in the present boot, whatever the host's name was then."""
        if self.boot_id != boot_id():
            return False
        if self.namespace:
            return self.namespace == pid_namespace()
        return self.host == socket.gethostname() or start_ticks(self.pid) == self.start_ticks

    @property
    def is_elsewhere(self) -> bool:
        """Whether it ran on another host or in another container: it cannot be seen from here."""
        same_boot = self.boot_id == boot_id()
        return not self.is_here and (same_boot or self.host != socket.gethostname())

    @property
    def alive(self) -> bool:
        """Whether this very process lives on this host. Processes elsewhere count as dead."""
        return self.is_here and start_ticks(self.pid) == self.start_ticks

    def open_pidfd(self) -> int | None:
        """A pidfd of this very process, or ``None`` if it is gone. The caller closes it."""
        if not self.is_here:
            return None
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # This is checked after opening: the descriptor cannot come to mean another process.
        if start_ticks(self.pid) != self.start_ticks:
            os.close(fd)
            return None
        return fd

    def signal(self, number: int = signal.SIGTERM) -> bool:
        """Signal this very process; ``False`` if it is gone, or belongs to another user by now."""
        fd = self.open_pidfd()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except (ProcessLookupError, PermissionError):
            return False
        finally:
            os.close(fd)
        return True


def gone(identities: Sequence[Identity], timeout: float) -> bool:
    """Whether all these processes have ended, waiting at most ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    for identity in identities:
        pidfd = identity.open_pidfd()
        if pidfd is None:
            continue
        try:
            patience = max(deadline - time.monotonic(), 0)
            if not select.select([pidfd], [], [], patience)[0]:
                return False
        finally:
            os.close(pidfd)
    return True
