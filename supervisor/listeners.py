"""The listeners of a supervisor: a person at a terminal, or the process that started it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Protocol

from motoko.errors import MotokoError
from motoko.operations.starting import GO_ON

log = logging.getLogger(__name__)


class Listener(Protocol):
    """The person or process that started the supervisor, and is told how the start goes."""

    def line(self, text: str) -> None:
        """Something happened."""

    def ready(self) -> None:
        """All daemons are ready for the first time."""

    def failed(self, text: str) -> None:
        """A daemon was given up."""

    def on_interruption(self, callback: Callable[[], None]) -> None:
        """Call back in the running loop if the listener goes before the start is decided."""


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
        """Nothing to do: a person sees that from the lines."""

    def failed(self, text: str) -> None:
        self.line(text)

    def on_interruption(self, callback: Callable[[], None]) -> None:
        """Nothing to do: a terminal sends signals."""


class Starter:
    """A process that waits for our start; it gets JSON lines until the start is decided.

    The starter sends :data:`GO_ON` if it stops waiting. A starter that goes without it was
    interrupted.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)  # a starter that does not read must not hold us up
        self._loop: asyncio.AbstractEventLoop | None = None

    def line(self, text: str) -> None:
        self._send({"line": text})

    def ready(self) -> None:
        self._send({"ready": True})
        self.close()

    def failed(self, text: str) -> None:
        self._send({"failed": text})
        self.close()

    def refused(self, error: MotokoError) -> None:
        """Nothing was started."""
        also = {"hint": error.hint, "exit_code": error.exit_code, "short_name": error.short_name}
        self._send({"failed": str(error), **also})
        self.close()

    def already_running(self) -> None:
        """Another supervisor holds the lock."""
        self._send({"already_running": True})
        self.close()

    def on_interruption(self, callback: Callable[[], None]) -> None:
        """Call back in the running loop if the starter goes before the start is decided."""
        if self._descriptor < 0:
            return

        def heard() -> None:
            try:
                word = os.read(self._descriptor, len(GO_ON))
            except BlockingIOError:
                return
            except OSError:
                word = b""
            self.close()
            if word != GO_ON:
                log.info("the process that started this supervisor was interrupted")
                callback()

        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, heard)

    def close(self) -> None:
        """Tell the starter nothing more: the start is decided. May be called twice."""
        if self._descriptor >= 0:
            if self._loop is not None:
                self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _send(self, message: dict[str, object]) -> None:
        if self._descriptor >= 0:
            try:
                os.write(self._descriptor, json.dumps(message).encode() + b"\n")
            except OSError as error:
                log.info("the process that started this supervisor does not listen: %s", error)
                if self._loop is None:  # else its reader finds out why
                    self.close()
