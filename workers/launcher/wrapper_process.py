"""A wrapper, as its launcher sees it: a process that is not its own child."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Protocol

from motoko.runs.wrappers import TURNS, Wrapper
from motoko.workers.launcher.wrapper import DESCRIPTORS_MAX, MORE

_TEXT_MAX = 4096


class Home(Protocol):
    """Where wrappers wait for another turn."""

    def take_back(self, process: WrapperProcess) -> None:
        """Let a wrapper wait that can take another turn."""


class WrapperProcess:
    """A wrapper that waits for :meth:`go`, or for a turn.

    Args:
        wrapper: its process, and the turn that is its present one, or was its last.
        channel: the launcher's end of its channel.
        home: where it waits.

    Attributes:
        wrapper: as above; the turn changes.
        watched: a descriptor that is readable when its turn has ended.
        unstarted: after its turn: why it has started nothing (see ``wrapper.py``), if it has told.
        record: after its turn: the exit record, if it has told.
    """

    def __init__(self, wrapper: Wrapper, channel: socket.socket, home: Home) -> None:
        self.wrapper = wrapper
        self.unstarted: int | None = None
        self.record: Mapping[str, object] | None = None
        self._channel = channel
        self._home = home
        self.watched = channel.fileno()

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.wrapper.pid

    def ask(self, request: bytes, slots: Sequence[int]) -> None:
        """Ask it to execute an attempt, when it is let go. Raises ``OSError`` if it has ended."""
        self.unstarted = self.record = None
        descriptors = [*slots]
        while len(descriptors) > DESCRIPTORS_MAX:
            socket.send_fds(self._channel, [MORE], descriptors[:DESCRIPTORS_MAX])
            del descriptors[:DESCRIPTORS_MAX]
        socket.send_fds(self._channel, [request], descriptors)

    def go(self) -> None:
        """Let it begin."""
        with contextlib.suppress(ConnectionError):  # it was killed, which is noticed at its end
            self._channel.send(b"\n")

    def abandon(self) -> None:
        """Do not let it begin: wait until it has ended."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        self.listen(socket.MSG_WAITALL)
        self.close()

    @property
    def has_told(self) -> bool:
        """Whether it has told how its turn has ended: not if it was killed."""
        return self.unstarted is not None or self.record is not None

    def rest(self) -> None:
        """After its turn: wait for another one, if it can."""
        if self.has_told and 0 < self.wrapper.turn < TURNS and self._channel.fileno() >= 0:
            self._home.take_back(self)
        else:
            self.close()

    def listen(self, flag: int = socket.MSG_DONTWAIT) -> None:
        """After its turn: take note of what it has told."""
        if self.has_told:
            return
        text = b""
        with contextlib.suppress(OSError):
            text = self._channel.recv(_TEXT_MAX, flag)
        value = json.loads(text or b"null")
        if isinstance(value, int):
            self.unstarted = value
        else:
            self.record = value

    def close(self) -> None:
        """Close its channel: it ends after its turn."""
        self._channel.close()
