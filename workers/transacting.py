"""A daemon's transactions: repeated until they are through."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeVar

import transaction
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError, StorageTransactionError

from motoko.bd.base import StudyBase

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE_MAX_S = 1.0


async def atomically(base: StudyBase, work: Callable[[], T]) -> T:
    """Call ``work`` on a fresh view and commit what it changes; again, if that does not succeed.

    Conflicts and the absence of the server delay it for as long as they last: the record of a
    run's end is never lost. ``work`` must be repeatable, and not suspend.
    """
    pause = 0.005
    while True:
        try:
            if base.db.storage.is_connected():
                base.db.storage.ping()
                transaction.begin()
                result = work()
                transaction.commit()
                return result
        except (ConflictError, ClientDisconnected, StorageTransactionError) as error:
            log.info("again after %s: %s", type(error).__name__, error)
        except BaseException:
            transaction.abort()
            raise
        transaction.abort()
        await asyncio.sleep(random.uniform(pause / 2, pause))
        pause = min(pause * 2, PAUSE_MAX_S)
