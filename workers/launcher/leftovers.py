"""What runs of this host leave behind when they have ended: it is ended, too.

What was killed and does not end waits for a device, or for a server of files that gives no answer.
It will execute nothing any more, whatever happens there. So its run is over, and others get its
slots after a while.
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
from motoko.workers.launcher.slots import Slots

log = logging.getLogger(__name__)

SWEEP_S = 1.0
LINGER_S = 20.0  # a process that gives back much memory takes its time
SHOWN = 5


class Leftovers:
    """What is being ended of runs that have ended, or were given up.

    Args:
        slots: the workflow's.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # Of ended runs: their wrappers, with those of their processes that were killed already.
        self._swept: dict[Identity, set[Identity]] = {}
        # What was killed: until when it may take to end.
        self._killed: dict[Identity, float] = {}
        self._lingering: set[Identity] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def detail(self) -> str:
        """What `motoko ps` shows of those that do not end."""
        if not self._lingering:
            return ""
        pids = sorted(process.pid for process in self._lingering)
        shown = ", ".join(map(str, pids[:SHOWN])) + ", ..." * (len(pids) > SHOWN)
        return f", {counted(len(pids), 'killed process', 'es')} of ended runs not gone: pid {shown}"

    def sweep(self, *wrappers: Identity) -> None:
        """End in a moment what is left of runs that have ended."""
        for wrapper in wrappers:
            self._swept.setdefault(wrapper, set())
        if self._swept:
            self._look_later()

    def note_killed(self, processes: Iterable[Identity], patience: float = LINGER_S) -> None:
        """Some processes were sent SIGKILL. They may take some seconds to end."""
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
        """A process is not waited for any longer: others get the slots that it holds."""
        slots = self._slots.replace_those_of(process.pid)
        what = " ".join(command_line(process)) or "?"
        log.warning(
            "pid %d (%s) of a run that is over does not end, though it was killed (SIGKILL): it "
            "waits for a device, or for a server of files%s",
            *(process.pid, what),
            f"; others use its {counted(slots, 'slot')} now" if slots else "",
        )

    def sweep_now(self) -> None:
        """End what has left its run's process group, or its session. One scan for many.

        And look again as long as there is more: it may have started something at this moment.
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
