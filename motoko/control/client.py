"""Asking a workflow's supervisor. Imports nothing heavy."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from motoko.config import WorkflowConfig
from motoko.control.protocol import (
    WATCH_SILENCE_S,
    AnswerT,
    OtherWorkflow,
    Refused,
    Request,
    Status,
    StatusRequest,
    WatchRequest,
    addressed,
    decoded_answer,
)
from motoko.host.directories import DirectoryIdentity
from motoko.layout import Runtime, locate

ANSWER_S = 5.0
# Where there is nobody to watch, and with a supervisor that only knows how to be asked.
POLL_S = 0.05
# One that is watched and says nothing for so long is frozen.
SILENCE_S = 5 * WATCH_SILENCE_S


def ask(runtime: Runtime, request: Request[AnswerT], timeout: float = ANSWER_S) -> AnswerT | None:
    """The supervisor's answer; ``None`` if nobody answers within ``timeout`` seconds.

    Raises:
        Refused: the supervisor does not do it; the message says why.
    """
    try:
        with _connection(runtime, request, timeout) as connection:
            for line in _lines(connection, timeout):
                return decoded_answer(line, request)
    except (OSError, ValueError, OtherWorkflow):  # none there, frozen, in the middle of ending
        pass
    return None


def supervisor_status(config: WorkflowConfig, timeout: float = ANSWER_S) -> Status | None:
    """What the workflow's supervisor says of itself and its daemons; ``None`` without answer."""
    runtime = locate(config)
    return None if runtime is None else ask(runtime, StatusRequest(), timeout)


def statuses(config: WorkflowConfig, deadline: float | None = None) -> Iterator[Status | None]:
    """What the supervisor says now and at each change, until a deadline (``time.monotonic``).

    ``None`` means that nobody answers, and comes again as long as that is so. At least one is
    given, whatever the deadline; whoever has seen enough leaves the loop.
    """
    can_be_watched = True
    while True:
        answered = False
        runtime = locate(config)
        if runtime is not None and can_be_watched:
            try:
                for status in watch(runtime, deadline):
                    answered = True
                    yield status
            except Refused:  # a version before this one
                can_be_watched = False
        if runtime is not None and not can_be_watched:
            answered = True
            yield ask(runtime, StatusRequest())
        if not answered:
            yield None
        left = POLL_S if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL_S))


def watch(runtime: Runtime, deadline: float | None = None) -> Iterator[Status]:
    """What a supervisor says now and at each change.

    Ends at the deadline (``time.monotonic``), or as soon as nobody answers (any more).

    Raises:
        Refused: it cannot be watched; one that has begun to answer can.
    """
    request = WatchRequest()
    try:
        with _connection(runtime, request, SILENCE_S) as connection:
            for line in _lines(connection, SILENCE_S, deadline):
                yield decoded_answer(line, request)
    except (OSError, ValueError, OtherWorkflow):
        return


@contextmanager
def _connection(
    runtime: Runtime, request: Request[AnswerT], timeout: float
) -> Iterator[socket.socket]:
    """A connection to the supervisor, which was asked something."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(runtime.control))
        connection.sendall(addressed(request, DirectoryIdentity.of(runtime.directory)))
        yield connection


def _lines(
    connection: socket.socket, timeout: float, until: float | None = None
) -> Iterator[bytes]:
    """The lines that are received; ``TimeoutError`` if one takes longer than that (seconds).

    Likewise if no further one is complete at ``until`` (``time.monotonic``).
    """
    text, is_first = b"", True
    deadline = time.monotonic() + timeout
    while True:
        last = deadline if until is None or is_first else min(deadline, until)
        connection.settimeout(max(last - time.monotonic(), 0.001))
        chunk = connection.recv(1 << 16)
        if not chunk:
            return
        *lines, text = (text + chunk).split(b"\n")
        if lines:
            yield from lines
            is_first = False
            deadline = time.monotonic() + timeout
