"""The slots of a workflow: one locked file each, shared by all its launchers.

A slot's lock belongs to an open file that the run's processes inherit. So it is held exactly as
long as anything of the run lives, whoever of us is killed meanwhile.

First come, first served: a launcher that does not get its slots draws a ticket, and nobody takes
a slot while an older ticket waits. So what becomes free adds up for a wide run. A ticket is locked
by its launcher: one of a dead launcher does not count.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path


class Slots:
    """The slots of one workflow, as one of its launchers sees them."""

    def __init__(self, directory: Path, count: int) -> None:
        self.count = count
        self._paths = [directory / f"{number}" for number in range(count)]
        self._queue = directory / "queue"
        self._queue.mkdir(parents=True, exist_ok=True)
        self._ticket: tuple[Path, int] | None = None

    def take(self, wanted: int) -> list[int] | None:
        """The descriptors that hold ``wanted`` slots, or ``None`` if it is to wait for them.

        The caller passes them to a run and closes its own: :func:`release`.
        """
        taken = [] if self._somebody_is_first() else self._free(wanted)
        if len(taken) < wanted:
            release(taken)
            self._draw_ticket()
            return None
        self.give_up()
        return taken

    def give_up(self) -> bool:
        """Wait for slots no more; whether we did, so that those behind may try."""
        if self._ticket is None:
            return False
        path, descriptor = self._ticket
        self._ticket = None
        path.unlink(missing_ok=True)
        os.close(descriptor)
        return True

    def _free(self, wanted: int) -> list[int]:
        """Take free slots, at most ``wanted``."""
        taken: list[int] = []
        for path in self._paths:
            if len(taken) == wanted:
                break
            descriptor = _locked(path)
            if descriptor is not None:
                taken.append(descriptor)
        return taken

    def _draw_ticket(self) -> None:
        if self._ticket is None:
            # The machine's monotonic clock is the same for all processes.
            path = self._queue / f"{time.monotonic_ns():020d}-{os.getpid()}"
            hidden = path.with_name(f".{path.name}")
            descriptor = _locked(hidden)
            assert descriptor is not None  # nobody else knows the name
            hidden.rename(path)
            self._ticket = path, descriptor

    def _somebody_is_first(self) -> bool:
        for path in sorted(self._queue.glob("[0-9]*")):
            if self._ticket is not None and path == self._ticket[0]:
                return False
            with contextlib.suppress(FileNotFoundError):  # served at this moment
                descriptor = _locked(path, flags=os.O_RDWR)
                if descriptor is None:
                    return True
                path.unlink(missing_ok=True)  # its launcher is dead
                os.close(descriptor)
        return False


def _locked(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int | None:
    """A descriptor that locks a file, or ``None`` if somebody else does."""
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def release(descriptors: list[int]) -> None:
    """Close our copies; the slots are free once nobody else holds one."""
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()


def usable_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))
