"""Loops over very many runs, in which a launcher's other tasks have their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 100


async def unhurried(things: Iterable[T]) -> AsyncIterator[T]:
    """All of these things as they are now; after each hundred, heartbeats may go out.

    On a busy machine, to look at the files of a thousand runs takes longer than a launcher may be
    silent.
    """
    for number, thing in enumerate([*things], 1):
        yield thing
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
