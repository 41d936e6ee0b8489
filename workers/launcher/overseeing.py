"""Nothing in an event loop dies silently: the first unexpected exception ends the process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def overseen(work: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None]) -> None:
    """Await ``work`` while the coroutines ``beside`` go on; cancel these when it is done.

    Raises the first exception of any of them, of a callback of the loop (a timer, a reader, a
    signal handler), or of a task that is not awaited. The daemon that dies of it is started again,
    and finds out what is to be done.
    """
    loop = asyncio.get_running_loop()
    fault: asyncio.Future[None] = loop.create_future()

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        error = context.get("exception")
        if isinstance(error, Exception) and not fault.done():
            fault.set_exception(error)

    loop.set_exception_handler(note)
    main = loop.create_task(work)
    waited: set[asyncio.Future[None]] = {fault, main, *map(loop.create_task, beside)}
    try:
        while not main.done():
            done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
    finally:
        loop.set_exception_handler(None)
        for task in (main, *waited):
            task.cancel()
        await asyncio.gather(main, *waited, return_exceptions=True)
