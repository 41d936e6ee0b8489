"""Ensures that a workflow has one supervisor: its lock, which all hosts share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from motoko.config import WorkflowConfig
from motoko.control.daemon_records import SUPERVISOR, recorded_identity, refuse_guests
from motoko.control.runtime_directories import unwritable
from motoko.control.signs_of_life import Life, Signs, signs
from motoko.errors import MotokoError, NoSupervisor
from motoko.host.locks import locked_if_free
from motoko.layout import Runtime

LOCK_PATIENCE_S = 2.0
POLL_S = 0.05


class AlreadySupervised(MotokoError):
    """Another process is the workflow's supervisor."""


class SupervisorLost(NoSupervisor):
    """The workflow's supervisor is on another host, and is no longer alive."""


@contextlib.contextmanager
def supervisor_lock(runtime: Runtime) -> Iterator[None]:
    """Hold the lock of the supervisor, who alone starts and stops daemons.

    Raises ``AlreadySupervised`` if another process holds it.
    """
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        with _lock_if_free(runtime) as is_ours:
            if is_ours:
                yield
                return
        # A process that was killed keeps its locks until its last thread has ended.
        holder = recorded_identity(runtime, runtime.record(SUPERVISOR))
        if time.monotonic() > deadline or (holder is not None and holder.alive):
            raise AlreadySupervised(
                f"{runtime.directory} has a supervisor already",
                hint=f"see `motoko ps {runtime.directory}`",
            )
        time.sleep(POLL_S)


@contextlib.contextmanager
def _lock_if_free(runtime: Runtime) -> Iterator[bool]:
    with contextlib.ExitStack() as stack:
        try:
            is_ours = stack.enter_context(locked_if_free(runtime.lock(SUPERVISOR)))
        except OSError as error:
            raise unwritable(runtime, error) from error
        yield is_ours


def refuse_elsewhere(config: WorkflowConfig) -> None:
    """Raise if the workflow was last supervised on another host, and has not been stopped since.

    ``AlreadySupervised`` names the supervisor and, if it cannot be reached, says what is missing
    for that. ``SupervisorLost`` says that it is no longer alive, as far as this can be known at
    once. ``AnotherAccount`` is raised if this account may only look at the workflow.
    """
    refuse_guests(config)
    seen = signs(config)
    if seen is not None and not may_take_over(seen):
        raise supervised_elsewhere(config, seen)


def may_take_over(seen: Signs, *, asked: bool = False) -> bool:
    """Whether this host may take over from the host that supervised last.

    Args:
        seen: what can be seen of that host.
        asked: whether the user has asked for it (``--takeover``).
    """
    return seen.life is Life.NONE and (asked or seen.is_of_this_machine)


def supervised_elsewhere(config: WorkflowConfig, seen: Signs) -> MotokoError:
    """The error that another host supervises a workflow, with what to do."""
    place, host = config.directory, seen.supervisor.host
    match seen.life:
        case Life.SUPERVISED if seen.answers:
            return AlreadySupervised(
                f"{place} is supervised on {seen.who}",
                hint=f"work with it from here, or stop it first: motoko kill {place}",
            )
        case Life.SUPERVISED:
            way = seen.no_way or "it does not answer"
            return AlreadySupervised(
                f"{place} is supervised on {seen.who}, which cannot be reached from here: {way}",
                hint=f"{_hint(seen)}work there, or stop it: ssh {host} motoko kill {place}",
            )
        case Life.LEFT:
            left = ", ".join(seen.locked) or "its gate"
            return SupervisorLost(
                f"the supervisor of {place} on {seen.who} is no longer alive, but other processes "
                f"there are: {left}",
                hint=f"`motoko supervise` there looks after them again, `motoko kill` ends them: "
                f"ssh {host}",
            )
    why = "its host was started again" if seen.has_rebooted else f"its lock is free; {seen.no_way}"
    return SupervisorLost(
        f"the supervisor of {place} on {seen.who} is no longer alive, as far as can be known "
        f"from here: {why}",
        hint=f"`motoko supervise` on {host} goes on there, `motoko supervise --takeover` here",
    )


def _hint(seen: Signs) -> str:
    hint = seen.no_way.hint if seen.no_way else None
    return f"{hint}; or " if hint else ""
