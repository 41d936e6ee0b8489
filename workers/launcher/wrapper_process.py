"""An attempt's wrapper, as its launcher sees it: a process that is not its own child."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping

_TEXT_MAX = 4096


class WrapperProcess:
    """A wrapper that waits for :meth:`go`.

    Args:
        pid: its pid.
        pidfd: its pidfd, which the caller has to close.
        channel: the launcher's end of its channel.

    Attributes:
        unstarted: after its end: why it has started nothing (see ``wrapper.py``), if it has told.
        record: after its end: the exit record, if it has told.
    """

    def __init__(self, pid: int, pidfd: int, channel: socket.socket) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.unstarted: int | None = None
        self.record: Mapping[str, object] | None = None
        self._channel = channel

    def go(self) -> None:
        """Let it begin."""
        with contextlib.suppress(ConnectionError):  # it was killed, which is noticed at its end
            self._channel.send(b"\n")

    def abandon(self) -> None:
        """Do not let it begin: wait until it has ended."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        self.listen(socket.MSG_WAITALL)

    @property
    def has_told(self) -> bool:
        """Whether it has told how it ended: not if it was killed."""
        return self.unstarted is not None or self.record is not None

    def listen(self, flag: int = socket.MSG_DONTWAIT) -> None:
        """After its end: take note of what it has told."""
        if self._channel.fileno() < 0:
            return
        text = b""
        with self._channel, contextlib.suppress(OSError):
            text = self._channel.recv(_TEXT_MAX, flag)
        value = json.loads(text or b"null")
        if isinstance(value, int):
            self.unstarted = value
        else:
            self.record = value
