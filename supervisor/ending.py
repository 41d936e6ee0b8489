"""Ending processes: by a signal first, and by SIGKILL if they do not end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

from motoko.config.supervision import KILL_DEADLINE_S, StopGroup
from motoko.supervisor.child import Child, signal_name

log = logging.getLogger(__name__)

Named = tuple[str, Child]


async def end(
    group: StopGroup,
    children: Sequence[Named],
    hurry: asyncio.Future[None],
    say: Callable[[str, str], None],
) -> None:
    """End processes by the group's signal; those that miss the group's deadline by SIGKILL.

    Returns when they have ended, or if even SIGKILL does not end them. Once ``hurry`` is done, the
    deadline is not waited for.
    """
    for name, child in children:
        log.info("%s: %s to pid %d", name, signal_name(group.signal), child.identity.pid)
        child.signal(group.signal)
    await _all_ended(children, group.deadline, hurry)
    left = [(name, child) for name, child in children if not child.ended.done()]
    for name, child in left:
        say(name, "does not end, killing it")
        child.signal(signal.SIGKILL)
    await _all_ended(left, KILL_DEADLINE_S)


async def _all_ended(
    children: Sequence[Named], timeout: float, hurry: asyncio.Future[None] | None = None
) -> None:
    if children:
        events: list[asyncio.Future[Any]] = [
            asyncio.gather(*(child.ended for _, child in children))
        ]
        if hurry is not None:
            events.append(hurry)
        await asyncio.wait(events, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
