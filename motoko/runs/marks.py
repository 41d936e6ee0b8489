"""The marks that all processes of an attempt carry: which attempt they are of.

One is in their environment. It names the wrapper that has started the attempt, for ever, and the
attempt's claim: so workflow, study, run and attempt. The other is a number, which names the wrapper
alone, and which nothing takes from a process, or from what that starts.
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
# In the wrapper's shell script, when `_boot` and `_stat` hold what stands in its claim.
SCRIPT = """\
_ticks() {{ shift 19; _start=$1; }}
_ticks ${{_stat##*) }}
export MOTOKO_RUN="$_boot $$ $_start $PWD/{claim}"
"""
_PID_BITS = 22  # Linux has no greater pids; what is left is enough for centuries of ticks


@dataclass(frozen=True)
class Mark:
    """What a process carries in its environment: its attempt's wrapper, and its claim's path."""

    wrapper: Identity
    claim: str

    @classmethod
    def of(cls, process: Process) -> Mark | None:
        """The one that a process was started with, if it was."""
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
    """Give a wrapper that has not begun yet the number that all of its attempt will carry."""
    stamp(wrapper.pid, number_of(wrapper))


def number_of(wrapper: Identity) -> int:
    """The number that names a wrapper during the present boot. Pure."""
    return wrapper.start_ticks << _PID_BITS | wrapper.pid


def wrapper_in(process: Process) -> Identity | None:
    """The wrapper of the attempt that a process is of, if it carries one of the marks."""
    number = stamp_of(process.identity.pid)
    if number is None:  # an earlier version has started it, or the number could not be given
        carried = Mark.of(process)
        return None if carried is None else carried.wrapper
    pid, ticks = number & ((1 << _PID_BITS) - 1), number >> _PID_BITS
    return Identity(pid, ticks, boot_id(), socket.gethostname())
