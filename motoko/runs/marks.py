"""The marks of all processes of an attempt: they tell which attempt a process belongs to.

One mark is in the environment. It names the wrapper that has started the attempt, uniquely for all
time, and the attempt's claim, which tells workflow, study, run and attempt. The other mark is a
number, which only names the wrapper. A process cannot lose it, and passes it on to its children.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from motoko.host.identity import Identity
from motoko.host.living_processes import Process
from motoko.host.proc_files import boot_id, variable
from motoko.host.process_limits import stamp, stamp_of

VARIABLE = "MOTOKO_RUN"
_PID_BITS = 22  # enough for all pids of Linux; the other bits are enough for centuries of ticks


@dataclass(frozen=True)
class Mark:
    """The mark in a process's environment: its attempt's wrapper, and its claim's path."""

    wrapper: Identity
    claim: str

    @classmethod
    def of(cls, process: Process) -> Mark | None:
        """The mark that a process was started with, if it has one."""
        return parse(variable(process.identity.pid, VARIABLE) or "")


def parse(text: str) -> Mark | None:
    """A mark from its text, or ``None`` if it is none. Pure but for this host's name."""
    boot, _, rest = text.partition(" ")
    pid, _, rest = rest.partition(" ")
    ticks, _, claim = rest.partition(" ")
    if not (pid.isdecimal() and ticks.isdecimal() and claim):
        return None
    return Mark(Identity(int(pid), int(ticks), boot, socket.gethostname()), os.path.realpath(claim))


def mark(wrapper: Identity) -> None:
    """Give a wrapper that has not begun yet the number that its attempt's processes inherit."""
    stamp(wrapper.pid, number_of(wrapper))


def number_of(wrapper: Identity) -> int:
    """The number that names a wrapper during the present boot. Pure."""
    return wrapper.start_ticks << _PID_BITS | wrapper.pid


def wrapper_in(process: Process) -> Identity | None:
    """The wrapper of the attempt that a process belongs to, if the process has one of the marks."""
    number = stamp_of(process.identity.pid)
    if number is None:  # an earlier version has started it, or the number could not be set
        carried = Mark.of(process)
        return None if carried is None else carried.wrapper
    pid, ticks = number & ((1 << _PID_BITS) - 1), number >> _PID_BITS
    return Identity(pid, ticks, boot_id(), socket.gethostname())
