"""Asks a workflow's supervisor. Imports nothing heavy."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from motoko.config import WorkflowConfig
from motoko.control import daemon_records
from motoko.control.other_hosts import NoWay, connect_control
from motoko.control.protocol import (
    WATCH_SILENCE_S,
    AnswerT,
    OtherWorkflow,
    Request,
    RequestRefused,
    Status,
    StatusRequest,
    WatchRequest,
    addressed,
    decoded_answer,
)
from motoko.host.directories import DirectoryIdentity
from motoko.layout import Runtime

ANSWER_S = 5.0
# Between two tries if no supervisor answers, or if it cannot be watched.
POLL_S = 0.05
# A supervisor that is watched and says nothing for this long is frozen.
SILENCE_S = 5 * WATCH_SILENCE_S
_NO_ANSWER = (OSError, ValueError, OtherWorkflow, NoWay)


def ask(runtime: Runtime, request: Request[AnswerT], timeout: float = ANSWER_S) -> AnswerT | None:
    """The supervisor's answer; ``None`` if it does not answer within ``timeout`` seconds.

    Raises:
        RequestRefused: the supervisor refuses the request; the message says why.
    """
    try:
        with _connection(runtime, request, timeout) as connection:
            for line in _lines(connection, timeout):
                return decoded_answer(line, request)
    except _NO_ANSWER:  # there is no supervisor, or it is frozen or just ending
        pass
    return None


def supervisor_status(config: WorkflowConfig, timeout: float = ANSWER_S) -> Status | None:
    """What the workflow's supervisor says of itself and its daemons; ``None`` if it is silent."""
    return ask(daemon_records.records(config), StatusRequest(), timeout)


def is_supervised(config: WorkflowConfig) -> bool:
    """Whether the workflow has a living supervisor here, or one elsewhere that answers."""
    if daemon_records.supervisor_elsewhere(config) is None:
        return daemon_records.supervisor_identity(config) is not None
    return supervisor_status(config) is not None


def daemons_at_work(config: WorkflowConfig) -> set[str]:
    """The names of the living daemons: here, or on the other host whose supervisor answers."""
    if daemon_records.supervisor_elsewhere(config) is None:
        return {d.name for d in daemon_records.living_daemons(daemon_records.records(config))}
    status = supervisor_status(config)
    return {daemon.name for daemon in status.daemons if daemon.pid} if status else set()


def statuses(config: WorkflowConfig, deadline: float | None = None) -> Iterator[Status | None]:
    """The supervisor's status now and at each change, until a deadline (``time.monotonic``).

    ``None`` means that no supervisor answers; it is repeated as long as none does. At least one
    status is yielded, whatever the deadline; a caller that has seen enough leaves the loop.
    """
    can_be_watched = True
    while True:
        answered = False
        runtime = daemon_records.records(config)
        if can_be_watched:
            try:
                for status in watch(runtime, deadline):
                    answered = True
                    yield status
            except RequestRefused:  # an earlier version
                can_be_watched = False
        if not can_be_watched:
            answered = True
            yield ask(runtime, StatusRequest())
        if not answered:
            yield None
        left = POLL_S if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL_S))


def watch(runtime: Runtime, deadline: float | None = None) -> Iterator[Status]:
    """A supervisor's status now and at each change.

    Ends at the deadline (``time.monotonic``), or as soon as no supervisor answers.

    Raises:
        RequestRefused: the supervisor cannot be watched. It is not raised after the first status.
    """
    request = WatchRequest()
    try:
        with _connection(runtime, request, SILENCE_S) as connection:
            for line in _lines(connection, SILENCE_S, deadline):
                yield decoded_answer(line, request)
    except _NO_ANSWER:
        return


@contextmanager
def _connection(
    runtime: Runtime, request: Request[AnswerT], timeout: float
) -> Iterator[socket.socket]:
    """A connection to the supervisor, over which the request was sent."""
    with _opened(runtime, timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(addressed(request, DirectoryIdentity.of(runtime.directory)))
        yield connection


def _opened(runtime: Runtime, timeout: float) -> socket.socket:
    """A connection to the control socket, here or on the supervisor's host."""
    if daemon_records.is_elsewhere(runtime):
        return connect_control(runtime.directory, timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(str(runtime.control))
    except BaseException:
        connection.close()
        raise
    return connection


def _lines(
    connection: socket.socket, timeout: float, until: float | None = None
) -> Iterator[bytes]:
    """The lines that are received; ``TimeoutError`` if one takes longer than ``timeout`` seconds.

    It is also raised at ``until`` (``time.monotonic``), but not before the first line.
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
