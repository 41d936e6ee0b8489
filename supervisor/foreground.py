"""Supervising a workflow from a terminal, or joining the supervisor that it has."""

from __future__ import annotations

from collections.abc import Callable

from motoko.config import WorkflowConfig
from motoko.control import client, daemon_records, supervisor_lock
from motoko.operations import starting
from motoko.operations.joining import Joined, join


def supervise_or_join(
    config: WorkflowConfig,
    show: Callable[[Joined], None],
    *,
    launchers: bool = True,
    slots: int | None = None,
    generator: str | None = None,
    takeover: bool = False,
) -> None:
    """Be the workflow's supervisor until it is stopped; if there is one, have it start what lacks.

    ``show`` is called with what the present supervisor starts. Raises ``AlreadySupervised`` if that
    supervisor is on another host, and what ``supervise`` and ``join`` raise.
    """
    starting.let_moved_end(config, print)
    if not client.is_supervised(config):
        from motoko.supervisor.listeners import Terminal
        from motoko.supervisor.supervising import supervise

        try:
            supervise(
                config,
                Terminal(),
                launchers=launchers,
                slots=slots,
                generator=generator,
                takeover=takeover,
            )
            return
        except supervisor_lock.AlreadySupervised:
            if daemon_records.supervisor_elsewhere(config) and not client.is_supervised(config):
                raise
            # Another supervisor was started at the same time and got the lock.
    join(config, show, launchers=launchers, slots=slots, generator=generator)
