"""One running local run, started by this launcher or adopted from its predecessor."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from motoko.identity import Identity, session_members
from motoko.run_output import output_stem
from motoko.workers import wrapper
from motoko.workers.preparing import Prepared


@dataclass
class LocalRun:
    """A run whose wrapper lives, or has lived when this was made.

    Attributes:
        session: the session of all its processes: the wrapper's pid.
        pidfd: readable when the wrapper has ended; ``None`` if it had ended before.
    """

    run_id: int
    directory: Path
    attempt: int
    stderr: str
    session: int
    pidfd: int | None
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, prepared: Prepared, slots: list[int]) -> LocalRun:
        """Start a prepared run; what is committed must say ``launched`` by now."""
        stem = output_stem(prepared.run_name)
        stdout, stderr = f"{stem}.o{prepared.run_id}", f"{stem}.e{prepared.run_id}"
        process = wrapper.start(prepared.directory, prepared.attempt, stdout, stderr, slots)
        return cls(
            prepared.run_id,
            prepared.directory,
            prepared.attempt,
            stderr,
            process.pid,
            os.pidfd_open(process.pid),
            process,
        )

    @classmethod
    def adopt(
        cls, run_id: int, directory: Path, attempt: int, stem: str, identity: Identity
    ) -> LocalRun:
        """Watch a run that an earlier launcher has started."""
        return cls(
            run_id, directory, attempt, f"{stem}.e{run_id}", identity.pid, identity.open_pidfd()
        )

    def collect(self) -> tuple[int | None, str]:
        """After the wrapper's end: launch.sh's exit code, or ``None`` and the reason.

        Whatever of the run's session is left, is ended: it would hold the run's slots.
        """
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        if self._process is not None:
            self._process.wait()
        for member in session_members(self.session):
            member.signal(signal.SIGKILL)
        code = wrapper.read_exit(self.directory, self.attempt)
        if code is not None:
            return code, ""
        if not self.directory.is_dir():
            return None, "the run directory is gone"
        return None, "its wrapper was killed before it could record the exit"
