"""All runs and jobs of a study as they were at an earlier moment, from its database's log."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.layout import locate
from motoko.mirror.current_mirror import Moment
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.run_index import HistoryGone, RunIndex
from motoko.store.log_end import NoEnd, last_tids
from motoko.store.study_records import study_records
from motoko.store.tids import LENGTH, at, committed_at

_TID = re.compile(rf"(?:0x)?([0-9a-f]{{{2 * LENGTH}}})", re.IGNORECASE)


def earlier_tid(text: str) -> str:
    """The transaction id (hexadecimal) that a text means: an id, or a time (2026-11-30 09:00).

    A time without a zone is in this host's. Raises ``ConfigError`` for a text that is neither.
    """
    if (match := _TID.fullmatch(text.strip())) is not None:
        return match[1].lower()
    try:
        return at(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{text!r} is neither a transaction nor a time",
            hint="write a transaction's 16 digits, as `motoko table` shows them, or a time such as "
            "'2026-11-30 09:00'",
        ) from error


@contextlib.contextmanager
def earlier(config: WorkflowConfig, study: StudyConfig, tid: str) -> Iterator[Moment]:
    """Runs and jobs as they were just after a transaction, or after the last one before it.

    Raises ``ConfigError`` for one that is not in the database's log: the study did not exist yet,
    its database has been packed since then, or that time is still to come. Raises
    ``StudyUnavailable`` and ``NotCreated`` like :func:`motoko.mirror.current_mirror.current`.
    """
    wanted = bytes.fromhex(tid)
    with study_records(study, locate(config)) as records:
        newest = records.lastTransaction()
        if wanted > newest and tid > at(datetime.now()):
            raise ConfigError(
                f"study {study.name}: {_named(tid)} is still to come",
                hint=f"the newest one is {_named(newest.hex())}",
            )
        first = next((began.tid for began in records.transactions(bytes(LENGTH), None)), newest)
        if wanted < first:
            raise ConfigError(
                f"study {study.name}: the log of its database begins after {_named(tid)}",
                hint=f"the first one is {_named(first.hex())}",
            )
        last = _last_until(study, min(wanted, newest))
        index = RunIndex(study.name, records, Mirror.in_memory().tables, study.bd_name)
        try:
            index.walk(last)
        except HistoryGone as error:
            raise ConfigError(
                f"study {study.name}: its state after {_named(tid)} is no longer in its "
                "database, which has been packed since then",
                hint="take a later one, or restore a backup of that time",
            ) from error
        yield Moment(index.tables, last.hex())


def _last_until(study: StudyConfig, tid: bytes) -> bytes:
    """The last transaction that is not after ``tid``, if the log can be read; else ``tid``."""
    if study.is_local:
        with contextlib.suppress(NoEnd, OSError):
            for committed in last_tids(study.database.transactions):
                if committed <= tid:
                    return committed
    return tid


def _named(tid: str) -> str:
    try:
        return f"transaction {tid} ({committed_at(tid):%Y-%m-%d %H:%M:%S})"
    except (ValueError, OverflowError):
        return f"transaction {tid}"
