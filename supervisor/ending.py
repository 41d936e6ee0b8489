"""Ending processes: told first, killed when they do not."""

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
    """End processes, by the group's signal and within its deadline, then by SIGKILL.

    Returns when they have ended, or cannot even be killed. No deadline is waited for once
    ``hurry`` is done.
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
