"""One running local run, started by this launcher or adopted from its predecessor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from motoko.run_output import output_stem
from motoko.workers import wrapper
from motoko.workers.preparing import Prepared
from motoko.workers.recovery import Found

KILLED_CODE = 128 + signal.SIGKILL


def oom_kills() -> int | None:
    """How many processes of this machine the kernel has killed for want of memory."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return None
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


@dataclass
class LocalRun:
    """A run whose processes live, or have lived when this was made.

    Attributes:
        session: the session of all its processes: the wrapper's pid.
        pidfd: readable when its wrapper has ended, or whoever of the session has outlived it;
            ``None`` if it had ended before.
        started: when (seconds since 1970).
        timeout: how many seconds it may take, if that is limited.
        reason: why it is being ended, if it is; ``final``: it gets no other attempt.
    """

    run_id: int
    directory: Path
    attempt: int
    stderr: str
    session: int
    pidfd: int | None
    started: float
    timeout: float | None = None
    reason: str = ""
    final: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _oom_kills: int | None = None  # of the machine, when it was started

    @classmethod
    def start(cls, prepared: Prepared, slots: list[int]) -> LocalRun:
        """Start a prepared run's wrapper, which waits for :meth:`go`."""
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
            time.time(),
            prepared.policy.timeout,
            _process=process,
        )

    def go(self) -> None:
        """Let it begin: what is committed says ``launched`` now."""
        assert self._process is not None and self._process.stdin is not None
        self.started = time.time()
        self._oom_kills = oom_kills()
        # If the wrapper was killed, its end tells.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
            self._process.stdin.close()

    def abandon(self) -> None:
        """It is not to begin: its wrapper ends without having done anything."""
        assert self._process is not None and self._process.stdin is not None
        assert self.pidfd is not None
        self._process.stdin.close()
        self._process.wait()
        os.close(self.pidfd)
        self.pidfd = None

    @classmethod
    def adopt(cls, run_id: int, found: Found, timeout: float | None) -> LocalRun:
        """Watch a run that an earlier launcher has started."""
        assert found.process is not None and found.session is not None
        return cls(
            run_id,
            found.directory,
            found.attempt,
            f"{found.stem}.e{run_id}",
            found.session,
            found.process.open_pidfd(),
            wrapper.claimed_at(found.directory, found.attempt),
            timeout,
        )

    def goes_on(self) -> bool:
        """After somebody's end: whether the run lives, although its wrapper was killed.

        It does as long as its processes do. What a launch.sh that has ended leaves behind does
        not count: it would hold the run's slots, and is ended by :meth:`collect`.
        """
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        if self._process is not None and self._process.poll() is None:
            self._process.wait()
        if wrapper.read_exit(self.directory, self.attempt) is not None or self._code is not None:
            return False
        for member in wrapper.survivors(self.session):
            self.pidfd = member.open_pidfd()
            if self.pidfd is not None:
                return True
        return False

    def collect(self) -> tuple[int | None, str]:
        """After the end: launch.sh's exit code, or ``None``; and why, where the code does not tell.

        What is left of its process group is ended; the rest of its session is for a later sweep.
        """
        if wrapper.group_lives(self.session):
            for member in wrapper.survivors(self.session):
                member.signal(signal.SIGKILL)
        code = wrapper.read_exit(self.directory, self.attempt)
        if code is None:
            if self._code == wrapper.UNCLAIMED and not self._claim_is_there():
                return None, wrapper.UNWRITABLE
            code = self._code  # it could not be written down: a full disk, say
        if self.reason:
            return code, self.reason
        out_of_memory = self._oom_kills is not None and (oom_kills() or 0) > self._oom_kills
        if code == KILLED_CODE and out_of_memory:
            return code, "it was killed (SIGKILL) while the kernel ran out of memory"
        if code != 0 and not self.directory.is_dir():
            return code, "the run directory is gone"
        return code, "" if code is not None else wrapper.KILLED

    def _claim_is_there(self) -> bool:
        return wrapper.read_claim(self.directory, self.attempt) is not None

    @property
    def is_claimed(self) -> bool:
        """After the end: whether nothing was started, since somebody else had claimed it."""
        return (
            self._code == wrapper.CLAIMED
            and wrapper.read_exit(self.directory, self.attempt) is None
        )

    @property
    def _code(self) -> int | None:
        """The exit code that the wrapper, our own child, has passed on."""
        code = self._process.returncode if self._process is not None else None
        return code if code is not None and code >= 0 else None
