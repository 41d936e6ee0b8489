"""A daemon's transactions: repeated until they are through."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeVar

import transaction

from motoko.bd.base import StudyBase
from motoko.bd.storage import can_be_repeated

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE_MAX_S = 1.0


async def atomically(base: StudyBase, work: Callable[[], T], tid: bytes | None = None) -> T:
    """Call ``work`` on a fresh view and commit what it changes; again, if that does not succeed.

    The view is at least as new as ``tid``, or, without it, as the server's own.

    Conflicts and the absence of the server delay it for as long as they last: the record of a
    run's end is never lost. ``work`` must be repeatable, and not suspend.
    """
    pause = 0.005
    while True:
        try:
            if base.db.storage.is_connected():
                if tid is None or base.tid < tid:
                    base.db.storage.ping()
                transaction.begin()
                result = work()
                transaction.commit()
                return result
        except BaseException as error:
            transaction.abort()
            if not can_be_repeated(error):
                raise
            log.info("again after %s: %s", type(error).__name__, error)
        tid = None
        await asyncio.sleep(random.uniform(pause / 2, pause))
        pause = min(pause * 2, PAUSE_MAX_S)
