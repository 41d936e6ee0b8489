"""Whether a workflow's directory is still where it was, and with it the supervisor's lock.

If the directory is moved or deleted, the paths that the daemons work by are no longer valid: the
supervisor ends, and ends them. Runs of a directory that was moved go on; the next supervisor takes
them over. A supervisor also ends if another host has taken the workflow over, which happens if its
own host was frozen or cut off.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from motoko.control.daemon_records import SUPERVISOR, recorded_identity
from motoko.control.heartbeat import Heartbeat
from motoko.host.clock import HEARTBEAT_S
from motoko.host.directories import DirectoryIdentity
from motoko.host.identity import Identity
from motoko.layout import Runtime

LOOK_S = 1.0


@dataclass(frozen=True)
class Lost:
    """How the place was lost.

    Attributes:
        why: in words.
        is_deleted: whether the directory exists no more, here or elsewhere.
        now_at: where the directory is now, if it was moved.
        hint: what to do, if anything.
    """

    why: str
    is_deleted: bool
    now_at: Path | None = None
    hint: str = ""


class Place:
    """A supervisor's workflow directory and lock. The supervisor has just taken the lock."""

    def __init__(self, runtime: Runtime) -> None:
        self.identity = DirectoryIdentity.of(runtime.directory)
        self._path = runtime.directory
        self._runtime = runtime
        self._me = Identity.mine()
        self._heartbeat = Heartbeat(runtime)
        self._beats_at = -math.inf
        self._lock = runtime.lock(SUPERVISOR)
        self._lock_file = self._lock.stat()
        self._directory = os.open(runtime.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Stop watching the directory."""
        os.close(self._directory)

    def lost(self) -> Lost | None:
        """How the place was lost; ``None`` if it was not, or if that cannot be known now."""
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
        if not same:
            return Lost(f"{self._lock} was removed", is_deleted=False)
        try:
            return self._taken_over()
        except OSError:
            return None

    def _taken_over(self) -> Lost | None:
        """Now and then, check whether another host has taken over; if not, renew the heartbeat."""
        if time.monotonic() < self._beats_at:
            return None
        by = recorded_identity(self._runtime, self._runtime.record(SUPERVISOR))
        if by is not None and by != self._me:
            return Lost(
                f"{by.host} has taken the workflow over (pid {by.pid})",
                is_deleted=False,
                hint=f"it is supervised on {by.host} now; runs that were started here go on",
            )
        self._beats_at = time.monotonic() + HEARTBEAT_S - LOOK_S / 2
        self._heartbeat.beat()
        return None

    def _gone(self) -> Lost:
        if os.fstat(self._directory).st_nlink == 0:
            return Lost(f"{self._path} was deleted", is_deleted=True)
        now = Path(f"/proc/self/fd/{self._directory}").readlink()
        where = f" (it is {now} now)" if now != self._path else ""
        return Lost(f"{self._path} was moved{where}", is_deleted=False, now_at=now)

    async def loss(self) -> Lost:
        """Wait until the place is lost: until two looks in a row say so."""
        before: Lost | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            # In a thread: a file system that hangs must not hold up the event loop.
            now = await asyncio.to_thread(self.lost)
            if now is not None and before is not None:
                return now
            before = now
