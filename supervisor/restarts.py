"""How often each daemon has died since the workflow was started, under all its supervisors."""

from __future__ import annotations

import json
import logging
from typing import Any

from motoko.control.daemon_records import recorded_identity
from motoko.host.files import read_json, write_atomically
from motoko.host.identity import Identity
from motoko.layout import Runtime

log = logging.getLogger(__name__)


class Restarts:
    """The counts, in a file that outlives the supervisor; stopping the workflow removes it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._path = runtime.restarts
        self.problem = ""  # why the file cannot be written, if it cannot
        before = read_json(self._path)
        self._goes_on = before is not None  # an earlier supervisor was killed, not stopped
        before = before or {}
        self._counts: dict[str, int] = _whole(before.get("counts"))
        self._last: dict[str, int] = _whole(before.get("last"))  # the pid of the last that died
        self._write()

    def at_start(self, name: str, *, adopted: bool) -> int:
        """The count of a daemon that is added now; counts a death while there was no supervisor."""
        if self._goes_on and not adopted:
            dead = self._dead(name)
            if dead is not None and dead.pid != self._last.get(name):
                self.died(name, self._counts.get(name, 0) + 1, dead.pid)
        return self._counts.get(name, 0)

    def died(self, name: str, count: int, pid: int | None) -> None:
        """Set a daemon's count after the death of its process ``pid``."""
        self._counts[name] = count
        if pid is not None:
            self._last[name] = pid
        self._write()

    def _dead(self, name: str) -> Identity | None:
        """The dead process in a daemon's record; a daemon that was told to end leaves no record."""
        identity = recorded_identity(self._runtime, self._runtime.record(name))
        gone = identity is not None and identity.is_here and not identity.alive
        return identity if gone else None

    def _write(self) -> None:
        content = {"counts": self._counts, "last": self._last}
        try:
            write_atomically(self._path, json.dumps(content))
            self.problem = ""
        except OSError as error:  # no reason to stop supervising
            self.problem = f"{self._runtime.wf} cannot be written: {error.strerror}"
            log.error("%s", self.problem)


def _whole(content: Any) -> dict[str, int]:
    items = content.items() if isinstance(content, dict) else ()
    return {str(name): value for name, value in items if isinstance(value, int)}
