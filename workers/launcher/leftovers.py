"""Ends the processes that runs of this host leave behind when they have ended.

A process that was killed and does not end waits for a device, or for a file server that does not
answer. Whatever happens there, it will execute nothing any more. So its run is over, and after a
while other runs get its slots.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Iterable

from motoko.host.durations import counted
from motoko.host.identity import Identity
from motoko.host.living_processes import command_line
from motoko.runs.sessions import members_of
from motoko.runs.wrappers import Wrapper
from motoko.workers.launcher.slots import Slots

log = logging.getLogger(__name__)

SWEEP_S = 1.0
LINGER_S = 20.0  # how long a killed process may take, since freeing much memory takes time
SHOWN = 5


class Leftovers:
    """The processes that are being ended, of runs that have ended or were given up.

    Args:
        slots: the workflow's slots.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # The wrappers of ended runs, with those processes of each run that were killed already.
        self._swept: dict[Wrapper, set[Identity]] = {}
        # Processes that were killed, and the time by which each should have ended.
        self._killed: dict[Identity, float] = {}
        self._lingering: set[Identity] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def detail(self) -> str:
        """What `motoko ps` shows of killed processes that do not end."""
        if not self._lingering:
            return ""
        pids = sorted(process.pid for process in self._lingering)
        shown = ", ".join(map(str, pids[:SHOWN])) + ", ..." * (len(pids) > SHOWN)
        return f", {counted(len(pids), 'killed process', 'es')} of ended runs not gone: pid {shown}"

    def sweep(self, *wrappers: Wrapper) -> None:
        """In a moment, end the processes that are left of runs that have ended."""
        for wrapper in wrappers:
            self._swept.setdefault(wrapper, set())
        if self._swept:
            self._look_later()

    def note_killed(self, processes: Iterable[Identity], patience: float = LINGER_S) -> None:
        """Note processes that were sent SIGKILL. They may take some seconds to end."""
        for process in processes:
            self._killed.setdefault(process, time.monotonic() + patience)
        if self._killed:
            self._look_later()

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self.sweep_now()
        for process, until in [*self._killed.items()]:
            if not process.alive:
                del self._killed[process]
                self._lingering.discard(process)
            elif process not in self._lingering and time.monotonic() >= until:
                self._lingering.add(process)
                self._let_go(process)
        if self._killed:
            self._look_later()

    def _let_go(self, process: Identity) -> None:
        """Stop waiting for a process: let other runs have the slots that it holds."""
        slots = self._slots.replace_those_of(process.pid)
        what = " ".join(command_line(process)) or "?"
        log.warning(
            "pid %d (%s) of a run that is over does not end, though it was killed (SIGKILL): it "
            "waits for a device, or for a server of files%s",
            *(process.pid, what),
            f"; others use its {counted(slots, 'slot')} now" if slots else "",
        )

    def sweep_now(self) -> None:
        """End the processes that have left their run's process group or session, in one scan.

        Look again as long as there are more: a process may have started another at that moment.
        """
        swept, self._swept = self._swept, {}
        killed = [
            (process, wrapper)
            for process, wrapper in members_of(*swept)
            if process not in swept[wrapper] and process.signal(signal.SIGKILL)
        ]
        self.sweep(*(wrapper for _, wrapper in killed))
        for process, wrapper in killed:
            self._swept[wrapper] |= {*swept[wrapper], process}
        self.note_killed(process for process, _ in killed)
