"""The marks of all processes of an attempt: they tell which attempt a process belongs to.

One mark is in the environment. It names the wrapper that has started the attempt, uniquely for all
time, and the attempt's claim, which tells workflow, study, run and attempt. The other mark is a
number, which only names the wrapper and its turn. A process cannot lose it, and passes it on to its
children.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from motoko.host.living_processes import Process
from motoko.host.proc_files import variable
from motoko.host.process_limits import stamp, stamp_of
from motoko.runs.wrappers import Wrapper

VARIABLE = "MOTOKO_RUN"


@dataclass(frozen=True)
class Mark:
    """The mark in a process's environment: its attempt's wrapper, and its claim's path."""

    wrapper: Wrapper
    claim: str

    @classmethod
    def of(cls, process: Process) -> Mark | None:
        """The mark that a process was started with, if it has one."""
        return parse(variable(process.identity.pid, VARIABLE) or "")


def parse(text: str) -> Mark | None:
    """A mark from its text, or ``None`` if it is none. Pure but for this host's name."""
    boot, _, rest = text.partition(" ")
    pid, _, rest = rest.partition(" ")
    start, _, claim = rest.partition(" ")
    if not (pid.isdecimal() and start.isdecimal() and claim):
        return None
    return Mark(Wrapper.of_start(int(pid), int(start), boot), os.path.realpath(claim))


def text_of(wrapper: Wrapper) -> str:
    """The mark's text, but for the path of the claim. Pure."""
    return f"{wrapper.process.boot_id} {wrapper.pid} {wrapper.start}"


def mark(wrapper: Wrapper) -> None:
    """Give a wrapper that has not begun yet the number that its attempt's processes inherit."""
    stamp(wrapper.pid, wrapper.number)


def wrapper_in(process: Process) -> Wrapper | None:
    """The wrapper of the attempt that a process belongs to, if the process has one of the marks."""
    number = stamp_of(process.identity.pid)
    if number is None:  # an earlier version has started it, or the number could not be set
        carried = Mark.of(process)
        return None if carried is None else carried.wrapper
    return Wrapper.of_number(number)
