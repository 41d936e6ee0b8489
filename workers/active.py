"""The local runs that run: noticing their ends, and ending them."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterator

from motoko.identity import session_members
from motoko.workers.local_run import LocalRun
from motoko.workers.wrapper import survivors

log = logging.getLogger(__name__)

KILL_GRACE_S = 3.0  # from SIGTERM to SIGKILL
SWEEP_S = 1.0


class ActiveRuns:
    """The runs of one launcher whose processes live.

    Args:
        ended: called with each run when all its processes have ended, its exit code (``None`` if
            it is not known) and the reason, where the code does not tell.
    """

    def __init__(self, ended: Callable[[LocalRun, int | None, str], None]) -> None:
        self._ended = ended
        self._runs: dict[int, LocalRun] = {}
        self._swept: list[int] = []  # sessions of ended runs, to be looked at

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._runs))

    def __contains__(self, run_id: int) -> bool:
        return run_id in self._runs

    def add(self, run: LocalRun) -> None:
        """Watch a run, and end it when its time is over."""
        self._runs[run.run_id] = run
        if run.timeout is not None:
            left = run.started + run.timeout - time.time()
            text = f"it took longer than its time limit of {run.timeout:g} s"
            loop = asyncio.get_running_loop()
            run.timers.append(loop.call_later(max(0.0, left), self.end, run.run_id, text))
        self._watch(run)

    def end(self, run_id: int, reason: str, *, final: bool = False) -> None:
        """End a run's processes, politely first; ``final``: without another attempt."""
        run = self._runs.get(run_id)
        if run is None or run.reason:
            return
        log.info("run %d: ending it: %s", run_id, reason)
        run.reason, run.final = reason, final
        self._signal(run, signal.SIGTERM)
        loop = asyncio.get_running_loop()
        run.timers.append(loop.call_later(KILL_GRACE_S, self._signal, run, signal.SIGKILL))

    def _signal(self, run: LocalRun, number: int) -> None:
        for member, _ in session_members(run.session):
            # The wrapper is left to record the exit.
            if member.pid != run.session:
                member.signal(number)

    def _watch(self, run: LocalRun) -> None:
        loop = asyncio.get_running_loop()
        if run.pidfd is None:
            loop.call_soon(self._one_has_gone, run)
        else:
            loop.add_reader(run.pidfd, self._one_has_gone, run)

    def _one_has_gone(self, run: LocalRun) -> None:
        if run.pidfd is not None:
            asyncio.get_running_loop().remove_reader(run.pidfd)
        if run.goes_on():
            self._watch(run)
            return
        for timer in run.timers:
            timer.cancel()
        del self._runs[run.run_id]
        self.sweep(run.session)
        self._ended(run, *run.collect())

    def sweep(self, session: int) -> None:
        """End in a moment what is left of a run that has ended."""
        if not self._swept:
            asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        self._swept.append(session)

    def _sweep(self) -> None:
        """End what has left its run's process group, but not its session. One scan for many."""
        sessions, self._swept = self._swept, []
        for member in survivors(*sessions):
            member.signal(signal.SIGKILL)
