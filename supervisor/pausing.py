"""Keeping launchers paused for as long as the processes that asked for it live."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Mapping, Sequence

from motoko.config.daemon_kinds import LAUNCHER
from motoko.control.launcher_pauses import (
    SILENT_S,
    Pause,
    PauseSignals,
    read_pauses,
    with_pause,
    without_holder,
    write_pauses,
)
from motoko.control.protocol import LaunchersPaused, ProcessInfo, RequestRefused
from motoko.layout import Runtime
from motoko.supervisor.member import Member
from motoko.supervisor.table import State

log = logging.getLogger(__name__)


class Pausing:
    """Signals a launcher to pause or resume whenever its status is not what is wanted."""

    def __init__(self, runtime: Runtime, members: Mapping[str, Member]) -> None:
        self._runtime = runtime
        self._members = members
        self._signals = PauseSignals()
        self._pauses: Sequence[Pause] = read_pauses(runtime)
        self._renewed = {pause.holder: time.monotonic() for pause in self._pauses}

    def pause(self, holder: ProcessInfo, studies: list[str] | None) -> LaunchersPaused:
        """Pause launchers while the holder lives; on another host it has to ask again and again."""
        self._renewed[holder] = time.monotonic()
        return self._keep(with_pause(self._pauses, Pause(holder, studies)))

    def resume(self, holder: ProcessInfo) -> LaunchersPaused:
        """Drop the pause that the holder has asked for."""
        return self._keep(without_holder(self._pauses, holder))

    def end(self) -> None:
        """Drop all pauses: the workflow is stopped."""
        self._keep([])

    def look(self, member: Member) -> None:
        """A daemon has sent its status: if it is a launcher, have it pause or resume as wanted."""
        if member.spec.kind != LAUNCHER:
            return
        if self._pauses and not all(map(self._holds, self._pauses)):
            self._keep([pause for pause in self._pauses if self._holds(pause)])
        self._tell(member)

    def _holds(self, pause: Pause) -> bool:
        since = self._renewed.get(pause.holder, -math.inf)
        is_silent = pause.is_elsewhere and time.monotonic() > since + SILENT_S
        return pause.holds and not is_silent

    def _keep(self, pauses: Sequence[Pause]) -> LaunchersPaused:
        if pauses != self._pauses:
            try:
                write_pauses(self._runtime, pauses)
            except OSError as error:
                raise RequestRefused(
                    f"{self._runtime.wf} cannot be written: {error.strerror}"
                ) from error
            self._pauses = pauses
            for member in self._members.values():
                self._tell(member)
        launchers = [m for m in self._members.values() if m.spec.kind == LAUNCHER]
        return LaunchersPaused([str(m.spec.study) for m in launchers if self._is_wanted(m)])

    def _is_wanted(self, member: Member) -> bool:
        return any(pause.concerns(str(member.spec.study)) for pause in self._pauses)

    def _tell(self, member: Member) -> None:
        says, child = member.counts.get("paused"), member.child
        if child is None or says is None or member.entry.state is not State.READY:
            return
        wanted = self._is_wanted(member)
        if self._signals.is_due(child.identity.pid, says=bool(says), wanted=wanted):
            log.info("%s: told to %s", member.name, "pause" if wanted else "resume")
            child.signal(signal.SIGUSR2)
