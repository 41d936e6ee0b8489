"""What the supervisor says while it works: to its log always, and to whoever started it."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Protocol

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Whoever started the supervisor, and is told how that goes."""

    def line(self, text: str) -> None:
        """Something happened."""

    def ready(self) -> None:
        """All daemons are ready for the first time."""

    def failed(self, text: str) -> None:
        """A daemon was given up."""


class Terminal:
    """A person who reads our standard output, until it is closed."""

    def __init__(self) -> None:
        self._open = True

    def line(self, text: str) -> None:
        if self._open:
            try:
                print(text, flush=True)
            except OSError:  # a closed pipe, or a terminal that has gone: the log goes on
                self._open = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def ready(self) -> None:
        """A person sees it from the lines."""

    def failed(self, text: str) -> None:
        self.line(text)


class Pipe:
    """A process that waits for our start; it gets JSON lines until that is decided."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)  # nobody may hold us up by not reading

    def line(self, text: str) -> None:
        self._send({"line": text})

    def ready(self) -> None:
        self._send({"ready": True})
        self.close()

    def failed(self, text: str) -> None:
        self._send({"failed": text})
        self.close()

    def already_running(self) -> None:
        """Another supervisor holds the lock."""
        self._send({"already_running": True})
        self.close()

    def close(self) -> None:
        """The start is decided. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _send(self, message: dict[str, object]) -> None:
        if self._descriptor >= 0:
            try:
                os.write(self._descriptor, json.dumps(message).encode() + b"\n")
            except OSError as error:
                log.info("whoever started this supervisor does not listen any more: %s", error)
                self.close()
