"""Detached orchestrators: their requests, kept until they have ended, and how each has ended.

``.wf/detached/<run_name>.json`` is the request. It has the caller's directory and environment, as
``at`` keeps them, so only the owner may read it. ``.wf/detached/<run_name>.ended`` is written by
the orchestrator itself when it ends; an orchestrator that was killed leaves none.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from motoko.config.daemon_kinds import ORCHESTRATOR
from motoko.errors import NoSupervisor
from motoko.host.files import read_json, write_atomically
from motoko.host.identity import Identity
from motoko.layout import Runtime, file_name

# The exit codes after which it is useless to start the orchestrator again.
_DONE, _WRONG_INPUT, _STOPPED, _REFUSED = 0, 2, 4, 5
_FINAL = (_DONE, _WRONG_INPUT, _STOPPED, _REFUSED)
# The supervisor and its daemons had gone, which is not the orchestrator's fault.
_UNSUPERVISED = NoSupervisor.exit_code


def daemon_name(run_name: str) -> str:
    """The supervisor's name for the detached orchestrator of a run_name."""
    return f"{ORCHESTRATOR}:{run_name}"


@dataclass(frozen=True)
class Request:
    """A request for a detached orchestrator."""

    run_name: str
    arguments: tuple[str, ...]  # of `motoko orchestrator start`
    directory: str  # where that command was called
    environment: Mapping[str, str]  # the environment of that command
    restart: str  # one of `motoko.config.supervision.RESTARTS`
    wanted: bool = True  # until a user stops it

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of ``dataclasses.asdict``; ``KeyError`` or ``TypeError`` on other mappings"""
        return cls(
            run_name=str(data["run_name"]),
            arguments=tuple(map(str, data["arguments"])),
            directory=str(data["directory"]),
            environment=dict(data["environment"]),
            restart=str(data["restart"]),
            wanted=bool(data["wanted"]),
        )


@dataclass(frozen=True)
class End:
    """How an orchestrator has ended by itself."""

    pid: int
    start_ticks: int
    exit_code: int
    at: float  # seconds since 1970
    error: str = ""  # the error's message, if it has ended with an error
    traceback: str = ""  # of errors that Motoko has not raised on purpose

    def is_of(self, identity: Identity) -> bool:
        """Whether this is the end of that process."""
        return (self.pid, self.start_ticks) == (identity.pid, identity.start_ticks)


def goes_on(restart: str, exit_code: int | None) -> bool:
    """Whether an orchestrator that has died is started again. Pure.

    Args:
        restart: the policy of its restarts.
        exit_code: its exit code; ``None`` if it was killed.
    """
    if exit_code in (None, _UNSUPERVISED):
        return restart != "never"
    return restart == "on-failure" and exit_code not in _FINAL


def request_path(runtime: Runtime, run_name: str) -> Path:
    """The file with the request of a run_name."""
    return directory(runtime) / f"{file_name(run_name)}.json"


def end_path(runtime: Runtime, run_name: str) -> Path:
    """The file in which the orchestrator of a run_name notes how it has ended."""
    return directory(runtime) / f"{file_name(run_name)}.ended"


def directory(runtime: Runtime) -> Path:
    """The directory of these files."""
    return runtime.wf / "detached"


def propose(runtime: Runtime, request: Request) -> Path:
    """Write a request to a file from which the supervisor takes it; returns its path."""
    directory(runtime).mkdir(mode=0o700, exist_ok=True)
    path = directory(runtime) / f".{file_name(request.run_name)}.{os.getpid()}.new"
    write_atomically(path, json.dumps(dataclasses.asdict(request)))
    return path


def read(path: Path) -> Request | None:
    """The request in a file, if there is one."""
    try:
        return Request.from_dict(read_json(path) or {})
    except (KeyError, TypeError, ValueError):
        return None


def requests(runtime: Runtime) -> list[Request]:
    """All kept requests, sorted by run_name."""
    requests = [read(path) for path in directory(runtime).glob("*.json")]
    return sorted(
        (request for request in requests if request), key=lambda request: request.run_name
    )


def not_wanted(runtime: Runtime, choose: Callable[[str], bool] = lambda run_name: True) -> None:
    """Note that chosen orchestrators (by default all) were stopped and must not be restarted."""
    for request in requests(runtime):
        if choose(request.run_name):
            _note(runtime, request, wanted=False)


def wanted_again(runtime: Runtime, run_name: str) -> None:
    """Note that an orchestrator that was stopped is started again."""
    request = read(request_path(runtime, run_name))
    if request is not None:
        _note(runtime, request, wanted=True)


def _note(runtime: Runtime, request: Request, *, wanted: bool) -> None:
    if request.wanted != wanted:
        noted = dataclasses.replace(request, wanted=wanted)
        path = request_path(runtime, request.run_name)
        write_atomically(path, json.dumps(dataclasses.asdict(noted)))


def note_end(runtime: Runtime, run_name: str, end: End) -> None:
    """Note how the calling orchestrator ends."""
    write_atomically(end_path(runtime, run_name), json.dumps(dataclasses.asdict(end)))


def end_of(runtime: Runtime, run_name: str) -> End | None:
    """How the last orchestrator of a run_name has ended; ``None`` if it runs or was killed."""
    try:
        return End(**(read_json(end_path(runtime, run_name)) or {}))
    except TypeError:
        return None
