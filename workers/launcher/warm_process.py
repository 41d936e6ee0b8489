"""The wrapper of a warm run, as its launcher sees it: a process that is not its own child."""

from __future__ import annotations

import os
from typing import IO

KILLED = -9  # as for a child that was killed; used if the wrapper wrote no code


class WarmProcess:
    """As much of ``subprocess.Popen`` as a local run needs.

    Args:
        pid: the wrapper's pid.
        pidfd: its pidfd, which the caller has to close.
        go: the write end of the pipe at which the wrapper waits for a line.
        exit_pipe: the read end of the pipe to which it writes its exit code, unless it is killed.

    Attributes:
        stdin: where the line that lets it go is written.
        returncode: its exit code; ``None`` while it lives.
    """

    def __init__(self, pid: int, pidfd: int, go: int, exit_pipe: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.stdin: IO[bytes] = os.fdopen(go, "wb", buffering=0)
        self.returncode: int | None = None
        self._exit_pipe = os.fdopen(exit_pipe, "rb", buffering=0)
        os.set_blocking(exit_pipe, False)

    def poll(self) -> int | None:
        """Its exit code; ``None`` as long as it lives."""
        if self.returncode is None:
            text = self._exit_pipe.read()
            if text is None:
                return None
            self.returncode = int(text or KILLED)
            self._exit_pipe.close()
        return self.returncode

    def wait(self) -> int:
        """Wait until it has ended; returns its exit code."""
        if self.returncode is None:
            os.set_blocking(self._exit_pipe.fileno(), True)
        code = self.poll()
        assert code is not None
        return code
