"""Whether a workflow's directory is still where it was, and with it the supervisor's lock.

Whoever moves or deletes the directory takes everything from under the supervisor: its daemons work
by paths. It ends then, and so do they. Runs of a directory that was moved go on, for the next.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from motoko.control.daemon_records import SUPERVISOR
from motoko.host.directories import DirectoryIdentity
from motoko.layout import Runtime

LOOK_S = 1.0


@dataclass(frozen=True)
class Lost:
    """That the place is lost, and how.

    Attributes:
        why: in words.
        is_deleted: whether nobody can have it any more.
        now_at: where it is now, if it was moved.
    """

    why: str
    is_deleted: bool
    now_at: Path | None = None


class Place:
    """The directory and the lock of a supervisor, which it has just taken."""

    def __init__(self, runtime: Runtime) -> None:
        self.identity = DirectoryIdentity.of(runtime.directory)
        self._path = runtime.directory
        self._lock = runtime.lock(SUPERVISOR)
        self._lock_file = self._lock.stat()
        self._directory = os.open(runtime.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Look after it no more."""
        os.close(self._directory)

    def lost(self) -> Lost | None:
        """How the place is lost, if it is; ``None`` also where that cannot be known now."""
        try:
            info = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return self._gone()
        except OSError:  # a file system that gives no answer now
            return None
        if not os.path.samestat(info, os.fstat(self._directory)):
            return self._gone()
        try:
            same = os.path.samestat(self._lock.stat(), self._lock_file)
        except (FileNotFoundError, NotADirectoryError):
            same = False
        except OSError:
            return None
        return None if same else Lost(f"{self._lock} was removed", is_deleted=False)

    def _gone(self) -> Lost:
        if os.fstat(self._directory).st_nlink == 0:
            return Lost(f"{self._path} was deleted", is_deleted=True)
        now = Path(f"/proc/self/fd/{self._directory}").readlink()
        where = f" (it is {now} now)" if now != self._path else ""
        return Lost(f"{self._path} was moved{where}", is_deleted=False, now_at=now)

    async def loss(self) -> Lost:
        """Wait until it is lost, for longer than a moment."""
        before: Lost | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            # Where a file system hangs, the others are looked after all the same.
            now = await asyncio.to_thread(self.lost)
            if now is not None and before is not None:
                return now
            before = now
