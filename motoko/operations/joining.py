"""Using a supervisor that is already running: the daemons that it lacks are started."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from motoko.config import WorkflowConfig
from motoko.control import client, daemon_records
from motoko.control.protocol import AddLaunchersRequest, RetryFailedRequest, SupervisorInfo
from motoko.operations import reconfiguring, starting
from motoko.operations.remote_access import is_on

ANSWER_S = 10.0


@dataclass(frozen=True)
class Joined:
    """What a supervisor that was already running has been asked to do.

    Attributes:
        started: the names of the daemons that it starts.
        restarted: the daemons that it restarts with the given options.
        taken: the effects of a changed motoko.yaml.
        supervisor: the supervisor.
    """

    started: list[str]
    restarted: list[str]
    taken: reconfiguring.TakenOver
    supervisor: SupervisorInfo


def join(
    config: WorkflowConfig,
    show: Callable[[Joined], None],
    *,
    launchers: bool,
    slots: int | None = None,
    generator: str | None = None,
) -> None:
    """Have the supervisor start missing launchers and daemons that were given up.

    Launchers that have other ``slots`` or another ``generator`` are restarted with these.

    Returns when all daemons are ready. ``show`` is called with the daemons that are started, before
    they are waited for. Raises ``MotokoError`` if the supervisor does not answer, or if a daemon
    does not become ready.
    """
    status = starting.wait_for_answer(config, time.monotonic() + ANSWER_S)
    taken = reconfiguring.take_over(config)
    runtime = daemon_records.records(config)
    retried = client.ask(runtime, RetryFailedRequest())
    names, restarted = [*retried.retried] if retried else [], []
    if launchers:
        remote = is_on(config, generator=generator)
        request = AddLaunchersRequest(slots=slots, generator=generator, remote=remote)
        added = client.ask(runtime, request)
        names += added.added if added else []
        restarted += added.restarted if added else []
    show(Joined(names, restarted, taken, status.supervisor))
    starting.wait_until_ready(config, time.monotonic() + config.supervision.started_s)
