"""The wrapper of a warm run, as its launcher has it: a process that is no child of its own."""

from __future__ import annotations

import os
from typing import IO

KILLED = -9  # as of a child that was: no code was told


class WarmProcess:
    """As much of ``subprocess.Popen`` as a local run needs.

    Args:
        pid: the wrapper's.
        pidfd: of it; the caller takes it over.
        go: where it waits for a line.
        exit_pipe: where it says the code that it ends with; nobody does if it was killed.

    Attributes:
        stdin: where the word to go is written.
        returncode: what it has ended with; ``None`` before.
    """

    def __init__(self, pid: int, pidfd: int, go: int, exit_pipe: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.stdin: IO[bytes] = os.fdopen(go, "wb", buffering=0)
        self.returncode: int | None = None
        self._exit_pipe = os.fdopen(exit_pipe, "rb", buffering=0)
        os.set_blocking(exit_pipe, False)

    def poll(self) -> int | None:
        """What it has ended with; ``None`` as long as it lives."""
        if self.returncode is None:
            text = self._exit_pipe.read()
            if text is None:
                return None
            self.returncode = int(text or KILLED)
            self._exit_pipe.close()
        return self.returncode

    def wait(self) -> int:
        """The same, once it has ended."""
        if self.returncode is None:
            os.set_blocking(self._exit_pipe.fileno(), True)
        code = self.poll()
        assert code is not None
        return code
