"""Which records were written between two moments, from the end of a database's log."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ZODB.POSException import POSError

from motoko.config import StudyConfig
from motoko.errors import StudyUnavailable
from motoko.store.log_end import NoEnd, last_transactions
from motoko.store.watch_storage import CONNECTION_ERRORS

TRANSACTIONS_MAX = 10_000
TRIES = 20  # to read the end of a log that is being written
PAUSE_S = 0.005

_Log = Iterable[tuple[bytes, Callable[[], Iterable[bytes]]]]


class NotWritten(Exception):
    """The database does not have a transaction, or only far back; the message says which."""


def written_between(tid: bytes, sees: bytes, study: StudyConfig, storage: Any) -> frozenset[bytes]:
    """The records that differ between a transaction and a view, whichever of them is older.

    Args:
        tid: the transaction's id; ``NotWritten`` if the database does not have it.
        sees: the view sees what was committed before this tid.
        study: the study whose database it is.
        storage: the view's storage.
    """
    for _ in range(TRIES if study.is_local else 0):
        try:
            return _between(tid, sees, last_transactions(study.database.transactions))
        except NoEnd:
            time.sleep(PAUSE_S)
        except OSError as error:
            raise NotWritten(f"the database's log cannot be read: {error}") from error
    try:
        committed = storage.iterator(min(tid, sees))
        oids_of = partial(map, operator.attrgetter("oid"))
        log = ((txn.tid, partial(oids_of, txn)) for txn in committed)
        return _between(tid, sees, log, is_back=False)
    except (*CONNECTION_ERRORS, POSError, StudyUnavailable) as error:
        raise NotWritten(f"the database's log cannot be read: {error!r}") from error


def _between(tid: bytes, sees: bytes, log: _Log, *, is_back: bool = True) -> frozenset[bytes]:
    first = min(tid, sees)
    is_known, changed = False, set[bytes]()
    for count, (written, oids_of) in enumerate(log):
        if is_back and written < first:
            break
        if count > TRANSACTIONS_MAX:
            raise NotWritten("it is far behind the database")
        is_known = is_known or written == tid
        if tid < written < sees or sees <= written <= tid:
            changed.update(oids_of())
    if not is_known:
        raise NotWritten("the database does not have its transaction")
    return frozenset(changed)
