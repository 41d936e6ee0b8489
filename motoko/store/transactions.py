"""Transactions of daemons and commands: repeated until they are committed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import transaction

from motoko.errors import StudyUnavailable
from motoko.host.pauses import Pauses
from motoko.store.base import StudyBase
from motoko.store.storage import PATIENCE_S, PAUSE_MAX_S, PAUSE_S, PatientStorage, can_be_repeated

log = logging.getLogger(__name__)
T = TypeVar("T")


async def atomically(base: StudyBase, work: Callable[[], T], tid: bytes | None = None) -> T:
    """Call ``work`` on a fresh view and commit what it changes; repeat both if the commit fails.

    The view is at least as new as ``tid``; without ``tid``, as the server's own.

    Conflicts and the absence of the server delay the commit for as long as they last: the record
    of a run's end is never lost. ``work`` must be repeatable, and must not suspend.
    """
    wanted = tid

    def begin() -> bool:
        nonlocal wanted
        if not base.db.storage.is_connected():
            return False
        if wanted is None or base.tid < wanted:
            base.db.storage.ping()
        transaction.begin()
        return True

    attempts = _attempts(begin, work)
    while True:
        try:
            failure = next(attempts)
        except StopIteration as end:
            result: T = end.value
            return result
        wanted = None  # after a failure, see all that the server has
        await asyncio.sleep(failure.pause_s)


def renew(base: StudyBase) -> None:
    """See all that other clients have committed to the server."""
    if isinstance(base.db.storage, PatientStorage):
        base.db.storage.ping()
    transaction.begin()


def commit_now(base: StudyBase, work: Callable[[], T]) -> T:
    """Call ``work`` on a fresh view and commit what it changes; repeat both after a conflict.

    ``work`` must be repeatable. Raises ``StudyUnavailable`` if no commit succeeds in time.
    """
    deadline = time.monotonic() + PATIENCE_S

    def begin() -> bool:
        renew(base)
        return True

    attempts = _attempts(begin, work)
    while True:
        try:
            failure = next(attempts)
        except StopIteration as end:
            result: T = end.value
            return result
        if time.monotonic() > deadline:
            raise StudyUnavailable(
                f"study {base.study.name}: changes could not be saved for {PATIENCE_S:.0f} s",
                hint="`motoko ps` shows the state of the ZEO servers",
            ) from failure.error
        time.sleep(failure.pause_s)


@dataclass(frozen=True)
class _Failure:
    """An attempt that must be repeated after a pause."""

    error: BaseException | None  # ``None``: no transaction could begin without the server
    pause_s: float


def _attempts(begin: Callable[[], bool], work: Callable[[], T]) -> Generator[_Failure, None, T]:
    """Call ``work`` and commit until that succeeds; between attempts, the caller pauses.

    Args:
        begin: begins a transaction with a fresh view; returns whether it could.
        work: makes the changes to commit; its result is returned at the end.
    """
    pauses = Pauses(PAUSE_S, PAUSE_MAX_S)
    while True:
        failure: BaseException | None = None
        try:
            if begin():
                result = work()
                transaction.commit()
                return result
        except BaseException as error:
            transaction.abort()
            if not can_be_repeated(error):
                raise
            log.info("repeating after %s: %s", type(error).__name__, error)
            failure = error
        yield _Failure(failure, pauses.next())
