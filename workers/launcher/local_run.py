"""One running local run, started by this launcher or adopted from an earlier one."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from motoko.config.policy import LATER
from motoko.config.run_files import OWN_FOLDER
from motoko.host.machine_troubles import described, passes
from motoko.host.process_limits import NO_ROOM
from motoko.runs import claims
from motoko.runs.outputs import output_stem, stderr_name, stdout_name
from motoko.runs.sessions import group_lives, in_session, kill, survivors
from motoko.runs.used import UNKNOWN, Used
from motoko.runs.wrappers import Wrapper
from motoko.workers.launcher import wrapper as wrappers
from motoko.workers.launcher.hindrances import Hindered
from motoko.workers.launcher.oom_kills import OomKills
from motoko.workers.launcher.preparing import Prepared
from motoko.workers.launcher.recovery import Situation
from motoko.workers.launcher.spawner import Spawner
from motoko.workers.launcher.warm_pythons import WarmPythons
from motoko.workers.launcher.wrapper_process import WrapperProcess

KILLED_CODE = 128 + signal.SIGKILL
UNBEGUN = "its wrapper was killed before it began"
UNWRITABLE = "the attempt could not be claimed: the run directory cannot be written"


@dataclass
class LocalRun:
    """A run whose processes live, or lived when this was made.

    Attributes:
        wrapper: its wrapper, at the turn in which it executes the attempt.
        process: the wrapper as this launcher sees it; ``None`` if another one has started it.
        pidfd: readable when a process has ended that is watched in place of ``process``: the
            wrapper, or a process of the session that has outlived it.
        started: when it was started (``time.monotonic``).
        timeout: how many seconds it may take, if that is limited.
        reason: why it is being ended, if it is; ``final``: it gets no other attempt;
            ``interrupted``: it is ended because the workflow ends.
        is_claimed: after the end: whether nothing was started, since another process had claimed
            the attempt.
        unstarted: after the end: the machine's trouble that kept launch.sh from being started.
        unreadable: why its end is not known yet, if its directory cannot be read.
        is_given_up: its processes were killed but do not end, and are not waited for any more.
        may_hand_over: whether other processes may go on with its work when launch.sh has ended
            well.
        used: after the end: the processor time and memory that it has used.
    """

    run_id: int
    directory: Path
    attempt: int
    stderr: str
    wrapper: Wrapper
    process: WrapperProcess | None
    pidfd: int | None
    started: float
    timeout: float | None = None
    reason: str = ""
    final: bool = False
    interrupted: bool = False
    is_claimed: bool = False
    unstarted: str = ""
    unreadable: str = ""
    is_given_up: bool = False
    may_hand_over: bool = False
    used: Used = UNKNOWN
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    _oom_kills: OomKills | None = None
    _oom_kills_before: int | None = None  # when the run was started

    @classmethod
    def start(
        cls, prepared: Prepared, slots: list[int], spawner: Spawner, pythons: WarmPythons
    ) -> LocalRun:
        """Start a prepared run's wrapper, which waits for :meth:`go`.

        Raises ``Hindered`` if that is impossible now.
        """
        process: WrapperProcess | None = None
        stem = output_stem(prepared.run_name)
        number = prepared.run_id
        stdout, stderr = stdout_name(stem, number), stderr_name(stem, number)
        directory, attempt = prepared.directory, prepared.attempt
        try:
            if prepared.warm is not None:
                process = pythons.start(prepared, prepared.warm, stdout, stderr, slots)
            if process is None:
                process = spawner.start(directory, attempt, stdout, stderr, slots)
        except OSError as error:
            why = NO_ROOM if error.errno == errno.EAGAIN else described(error)
            raise Hindered(f"no process can be started: {why}") from error
        return cls(
            prepared.run_id,
            prepared.directory,
            prepared.attempt,
            stderr,
            process.wrapper,
            process,
            None,
            time.monotonic(),
            prepared.policy.timeout,
            may_hand_over=prepared.policy.finish == LATER,
        )

    def go(self, oom_kills: OomKills) -> None:
        """Let it begin: its state ``launched`` is committed now."""
        assert self.process is not None
        self.started = time.monotonic()
        self._oom_kills, self._oom_kills_before = oom_kills, oom_kills.lately()
        self.process.go()

    def abandon(self) -> None:
        """Do not let it begin: its wrapper ends without having done anything."""
        assert self.process is not None
        self.process.abandon()

    @property
    def watched(self) -> int | None:
        """A descriptor that is readable when what is watched has ended; ``None`` if it has."""
        return self.pidfd if self.process is None else self.process.watched

    @classmethod
    def adopt(cls, situation: Situation) -> LocalRun:
        """Watch a run that an earlier launcher has started."""
        assert situation.wrapper is not None
        process = situation.process
        return cls(
            situation.run_id,
            situation.directory,
            situation.attempt,
            stderr_name(situation.stem, situation.run_id),
            situation.wrapper,
            None,
            None if process is None else process.open_pidfd(),
            time.monotonic() - (claims.begun_for(situation.directory, situation.attempt) or 0.0),
            situation.policy.timeout,
            may_hand_over=situation.policy.finish == LATER,
        )

    def goes_on(self) -> bool:
        """After the end of what is watched: whether the run goes on without its wrapper.

        It goes on as long as its session has processes. Processes that launch.sh leaves behind when
        it has ended, or that have left the session, do not count: they would hold the run's slots,
        and are ended. Raises ``UnreadableRecord``, as :meth:`collect` does, if the run directory
        cannot be read now.
        """
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        if self.is_given_up:
            return False
        if self.process is not None:
            self.process.listen()
            if self.process.has_told:
                return False
        if claims.read_exit(self.directory, self.attempt) is not None:
            return False
        if self.wrapper.session is None:
            self.wrapper = claims.with_session(self.wrapper, self.directory, self.attempt)
        for member in in_session(self.wrapper):
            if member == self.wrapper.process:
                continue  # it is just ending
            self.pidfd = member.open_pidfd()
            if self.pidfd is not None:
                if self.process is not None:
                    self.process.close()
                    self.process = None
                return True
        return False

    def collect(self) -> tuple[int | None, str]:
        """After the end: launch.sh's exit code, if known, and a reason if the code does not say it.

        Ends what is left of its process group; all other processes are left to a later sweep.
        """
        process = self.process
        why = None if process is None else process.unstarted
        record = None if process is None else process.record
        if record is None:  # adopted, or the wrapper was killed
            record = claims.read_record(self.directory, self.attempt)
        self._end_group(record)
        self.used = Used.recorded(record)
        code = claims.code_of(record)
        self.is_claimed = why == wrappers.CLAIMED and code is None
        if why is None and code is None and self._was_not_begun():
            self.unstarted = UNBEGUN
            return None, UNBEGUN
        if why is not None and code is None:
            if why == wrappers.UNCLAIMED and not self._claim_is_there():
                self.unstarted = UNWRITABLE
                return None, UNWRITABLE
            if why == wrappers.UNOPENED and not self._claim_is_there():
                return None, self._unopened()
            if why == wrappers.UNFORKED:
                claims.withdraw(self.directory, self.attempt)
                self.unstarted = f"no process can be started: {NO_ROOM}"
                return None, f"launch.sh was not started: {NO_ROOM}"
            code = why
        if self.reason:
            return code, self.reason
        if code == KILLED_CODE and self._ran_out_of_memory():
            return code, "it was killed (SIGKILL) while the kernel ran out of memory"
        if code != 0 and not claims.is_directory(self.directory):
            return code, "the run directory is gone"
        return code, "" if code is not None else claims.KILLED

    def _end_group(self, record: Mapping[str, object] | None) -> None:
        """End what is left of the process group that launch.sh has begun."""
        group = self.wrapper.session if self.wrapper.turn else self.wrapper.pid
        if self.wrapper.turn and record is not None:
            pid = record.get("pid")
            group = pid if isinstance(pid, int) else None
        if group is None or group_lives(group):
            for member in survivors(self.wrapper):
                kill(member, self.wrapper)

    def _was_not_begun(self) -> bool:
        """Whether the wrapper had not even claimed the attempt: then nothing was started."""
        own = self.directory / OWN_FOLDER  # where claims are; a run may be deleted while it runs
        return self.process is not None and claims.is_directory(own) and not self._claim_is_there()

    def _ran_out_of_memory(self) -> bool:
        if self._oom_kills is None or self._oom_kills_before is None:
            return False
        return (self._oom_kills.now() or 0) > self._oom_kills_before

    def _unopened(self) -> str:
        """Why launch.sh was not started: one of its output files cannot be written to."""
        stem = self.stderr.removesuffix(f".e{self.run_id}")
        for name in (f"{stem}.o{self.run_id}", self.stderr):
            try:
                open(self.directory / name, "ab").close()
            except OSError as error:
                text = f"its output {name} cannot be opened: {error.strerror}"
                self.unstarted = text if passes(error) else ""
                return f"launch.sh was not started: {text}"
        self.unstarted = "its output could not be opened"  # it can be by now
        return self.unstarted

    def _claim_is_there(self) -> bool:
        return claims.read_claim(self.directory, self.attempt) is not None
