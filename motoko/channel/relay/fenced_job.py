"""Ends the processes that belong to a relay, on its host."""

from __future__ import annotations

import contextlib
import os
import signal

from motoko.channel.relay.event_loop import EventLoop
from motoko.channel.relay.peer_marks import VARIABLE
from motoko.host.proc_files import start_ticks, variable

# Between SIGTERM and SIGKILL.
KILL_S = 5.0


def end(loop: EventLoop, name: str) -> None:
    """End all processes that have a relay's name in their environment: SIGTERM, then SIGKILL."""
    asked = _signal(name, signal.SIGTERM)
    if asked:
        loop.later(KILL_S, lambda: _kill(loop, name))


def _kill(loop: EventLoop, name: str) -> None:
    if _signal(name, signal.SIGKILL):
        loop.later(KILL_S, lambda: _kill(loop, name))


def _signal(name: str, number: signal.Signals) -> int:
    """Signal these processes; returns how many there were."""
    count = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or (pid := int(entry.name)) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                # The descriptor holds the process: its pid cannot become another's meanwhile.
                if variable(pid, VARIABLE) == name and start_ticks(pid) is not None:
                    signal.pidfd_send_signal(descriptor, number)
                    count += 1
            finally:
                os.close(descriptor)
    return count
