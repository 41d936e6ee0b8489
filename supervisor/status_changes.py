"""Telling the clients that watch the workflow's status that it has changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from motoko.control.protocol import WATCH_SILENCE_S

# Changes within this time of each other are told together.
TOGETHER_S = 0.02


class StatusChanges:
    """Code that changes the status calls :meth:`notify`; without watchers that costs nothing."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Event] = set()

    def notify(self) -> None:
        """The status has changed."""
        for changed in self._watchers:
            changed.set()

    async def turns(self) -> AsyncGenerator[None, None]:
        """Yields when to tell the status: now, after each change, and after a long silence."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            while True:
                changed.clear()
                yield
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_SILENCE_S):
                        await changed.wait()
                        await asyncio.sleep(TOGETHER_S)
        finally:
            self._watchers.discard(changed)
