"""The slots of a workflow: one locked file each, shared by all its launchers.

A slot's lock belongs to an open file that the run's processes inherit. So the lock is held exactly
as long as any process of the run lives, even if launchers are killed meanwhile.

First come, first served: a launcher that does not get its slots draws a ticket, and no launcher
takes a slot while an older ticket waits. So free slots accumulate for a wide run. A ticket is
locked by its launcher: that of a dead launcher does not count.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from motoko.host.locks import try_lock

_OWNERS_ALONE = 0o600


class Slots:
    """The slots of one workflow, as one of its launchers sees them."""

    def __init__(self, directory: Path, count: int) -> None:
        self.count = count
        self._paths = [directory / f"{number}" for number in range(count)]
        self._real_paths = {Path(os.path.realpath(path)) for path in self._paths}
        self._queue = directory / "queue"
        self._queue.mkdir(parents=True, exist_ok=True)
        self._ticket: tuple[Path, int] | None = None

    def take(self, width: int) -> list[int] | None:
        """The descriptors that hold ``width`` slots; ``None`` if the launcher must wait for them.

        The caller passes them to a run, and closes its own copies with :func:`release`. Raises
        ``OSError`` if their files cannot be opened now.
        """
        taken: list[int] = []
        try:
            if not self._somebody_is_first():
                self._add_free(taken, width)
        except OSError:
            release(taken)
            raise
        if len(taken) < width:
            release(taken)
            self._draw_ticket()
            return None
        self.give_up()
        return taken

    def give_up(self) -> bool:
        """Stop waiting for slots; returns whether this launcher waited: then the next may try."""
        if self._ticket is None:
            return False
        path, descriptor = self._ticket
        self._ticket = None
        path.unlink(missing_ok=True)
        os.close(descriptor)
        return True

    def replace_those_of(self, pid: int) -> int:
        """Let other runs use the slots of a process that does not end; returns how many it has.

        The files of these slots are removed, and made again by the next launcher that needs them.
        """
        replaced = 0
        with contextlib.suppress(OSError):  # it has just ended
            for descriptor in [*os.scandir(f"/proc/{pid}/fd")]:
                with contextlib.suppress(OSError):
                    path = Path(descriptor.path).readlink()
                    if path in self._real_paths:
                        path.unlink()
                        replaced += 1
        return replaced

    def _add_free(self, taken: list[int], width: int) -> None:
        """Take free slots until there are ``width``, or no more."""
        for path in self._paths:
            if len(taken) == width:
                break
            descriptor = try_lock(path, mode=_OWNERS_ALONE)
            if descriptor is None:
                continue
            if os.fstat(descriptor).st_nlink == 0:  # it was replaced at this moment
                os.close(descriptor)
                continue
            taken.append(descriptor)

    def _draw_ticket(self) -> None:
        if self._ticket is None:
            # The machine's monotonic clock is the same for all processes.
            path = self._queue / f"{time.monotonic_ns():020d}-{os.getpid()}"
            hidden = path.with_name(f".{path.name}")
            descriptor = try_lock(hidden, mode=_OWNERS_ALONE)
            assert descriptor is not None  # no other process knows the name
            hidden.rename(path)
            self._ticket = path, descriptor

    def _somebody_is_first(self) -> bool:
        for path in sorted(self._queue.glob("[0-9]*")):
            if self._ticket is not None and path == self._ticket[0]:
                return False
            with contextlib.suppress(FileNotFoundError):  # its launcher got slots at this moment
                descriptor = try_lock(path, create=False)
                if descriptor is None:
                    return True
                path.unlink(missing_ok=True)  # its launcher is dead
                os.close(descriptor)
        return False


def release(descriptors: list[int]) -> None:
    """Close our copies; the slots are free once no process of the run holds one."""
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()
