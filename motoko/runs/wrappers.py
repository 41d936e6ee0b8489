"""What names the wrapper of an attempt, and so all the attempt's processes, for all time.

A wrapper executes attempts one after another, one in each of its turns. So its process alone does
not name an attempt: process and turn do. As a number they mark the attempt's processes, and the
wrapper itself during that turn.
"""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass, field

from motoko.host.identity import Identity
from motoko.host.proc_files import boot_id
from motoko.host.process_limits import stamp_of

# Of a number: enough for all pids of Linux, and for centuries of ticks; the rest is the turn.
_PID_BITS = 22
_START_BITS = 36
TURNS = (1 << 63 - _PID_BITS - _START_BITS) - 1  # how many a wrapper has at most
NO_SESSION = 0


@dataclass(frozen=True)
class Wrapper:
    """A wrapper at one of its turns.

    Attributes:
        process: its process; the pid is 0 if it does not live any more and is not known.
        turn: which of its turns, from 1 on. 0: it has only one, and launch.sh is in its session.
        session: the session that launch.sh has begun, if that is known.
    """

    process: Identity
    turn: int = 0
    session: int | None = field(default=None, compare=False)

    @classmethod
    def of_number(cls, number: int) -> Wrapper:
        """The wrapper that a number names, of this host's present boot."""
        pid, start = number & ((1 << _PID_BITS) - 1), number >> _PID_BITS
        return cls.of_start(pid, start, boot_id())

    @classmethod
    def of_start(cls, pid: int, start: int, boot: str) -> Wrapper:
        """The wrapper that a pid, a start and a boot name."""
        ticks, turn = start & ((1 << _START_BITS) - 1), start >> _START_BITS
        return cls(Identity(pid, ticks, boot, socket.gethostname()), turn)

    @property
    def number(self) -> int:
        """The number that names it during the present boot. Pure."""
        return self.start << _PID_BITS | self.pid

    @property
    def start(self) -> int:
        """What tells it from all wrappers with the same pid in the same boot. Pure."""
        return self.turn << _START_BITS | self.process.start_ticks

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it lives, and its turn is not over. Wrappers elsewhere count as dead."""
        return self.process.alive and (self.turn == 0 or stamp_of(self.pid) == self.number)

    def kill(self) -> None:
        """Kill it, unless its turn is over: it may be executing another attempt by now."""
        if self.turn == 0:
            self.process.signal(signal.SIGKILL)
        elif self.alive:
            self.process.signal(signal.SIGSTOP)  # it cannot begin another turn meanwhile
            self.process.signal(signal.SIGKILL if self.alive else signal.SIGCONT)
