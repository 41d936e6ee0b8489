"""The slots of a workflow: one locked file each, shared by all its launchers.

A slot's lock belongs to an open file that the run's processes inherit. So it is held exactly as
long as anything of the run lives, whoever of us is killed meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Slots:
    """The slots of one workflow."""

    def __init__(self, directory: Path, count: int) -> None:
        self.count = count
        self._paths = [directory / f"{number}" for number in range(count)]
        directory.mkdir(parents=True, exist_ok=True)

    def take(self, wanted: int) -> list[int] | None:
        """The descriptors that hold ``wanted`` slots, or ``None`` if so many are not free.

        The caller passes them to a run and closes its own: :func:`release`.
        """
        taken: list[int] = []
        for path in self._paths:
            if len(taken) == wanted:
                break
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                taken.append(descriptor)
        if len(taken) < wanted:
            release(taken)
            return None
        return taken


def release(descriptors: list[int]) -> None:
    """Close our copies; the slots are free once nobody else holds one."""
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()


def usable_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))
