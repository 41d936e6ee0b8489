"""All runs and jobs of a study as they are now, from its mirror or from its database.

The mirror is enough if it has reached the database's newest transaction. Otherwise the missing
transactions are read from the database, into a copy of the mirror. Without a mirror, everything is.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import StudyUnavailable
from motoko.host.locks import is_locked
from motoko.host.pauses import Pauses
from motoko.layout import Runtime, locate, lock_path, mirror_path, owns_wf
from motoko.mirror.mirror_file import MIRROR_ERRORS, Mirror, NotUsable, check_readable, remove
from motoko.mirror.mirror_reading import reading
from motoko.mirror.mirror_tables import MirrorTables
from motoko.mirror.run_index import HistoryGone, RunIndex
from motoko.store.log_end import NoEnd, last_tids

if TYPE_CHECKING:
    from motoko.store.study_records import StudyRecords

log = logging.getLogger(__name__)

PATIENCE_S = 2.0  # for a watcher that is about to write what was just committed
PAUSE_S, PAUSE_MAX_S = 0.005, 0.1
KNOWN = 10_000  # a mirror's transaction is looked for among this many of the last ones
TRIES = 20  # to read the end of a log that is being written


@dataclass(frozen=True)
class Moment:
    """All runs and jobs of a study just after one transaction.

    Attributes:
        tables: what they hold.
        tid: the transaction.
        without: why the mirror could not tell all of it; ``None`` if it did.
    """

    tables: MirrorTables
    tid: str
    without: str | None = None


class _Study:
    """A study, and what is known of it without its database."""

    def __init__(self, config: WorkflowConfig, study: StudyConfig) -> None:
        self.config = study
        self.runtime: Runtime | None = locate(config)
        self.mirror = mirror_path(config.directory, study.name)
        # A mirror that came with a copy of a directory says nothing about this one.
        self.is_own = owns_wf(config.directory)
        self.is_watched = is_locked(lock_path(config.directory, "watcher"))

    def check_readable(self) -> None:
        if not self.is_own:
            raise NotUsable("it came with a copy of another workflow")
        check_readable(self.mirror, self.is_watched)

    def records(self) -> AbstractContextManager[StudyRecords]:
        """The records of its database, for what the mirror cannot tell."""
        from motoko.store.study_records import study_records  # slower than most questions

        return study_records(self.config, self.runtime)


@contextlib.contextmanager
def current(config: WorkflowConfig, of: StudyConfig) -> Iterator[Moment]:
    """All that was committed before this call, and perhaps later commits, while the block runs.

    Raises ``StudyUnavailable`` if neither mirror nor database can be read, ``NotCreated`` if there
    is no database. A ``sqlite3.Error`` that leaves the block means a damaged mirror, and becomes
    ``StudyUnavailable``.
    """
    study = _Study(config, of)
    with contextlib.ExitStack() as stack:
        try:
            moment = stack.enter_context(_mirrored(study))
        except NotUsable as error:
            reason = str(error)
        except MIRROR_ERRORS as error:
            reason = repr(error)
        else:
            try:
                yield moment
            except sqlite3.Error as error:
                raise StudyUnavailable(
                    f"the mirror of study {of.name} cannot be read: {error}",
                    hint="remove it from .wf/mirror: the watcher makes it anew",
                ) from error
            return
        records = stack.enter_context(study.records())
        try:
            moment = _from_database(study, records, reason)
        except HistoryGone as error:
            raise StudyUnavailable(
                f"study {of.name} is being packed, or replaced: {error}", hint="try again"
            ) from error
        yield moment


def begin_mirror(config: WorkflowConfig, study: StudyConfig, path: Path) -> None:
    """Copy the mirror of a study, if it can be used, for a copy of its database made later."""
    of = _Study(config, study)
    try:
        of.check_readable()
        with reading(of.mirror) as tables:
            Mirror.file_of(tables, path).close()
    except (*MIRROR_ERRORS, NotUsable):
        remove(path)


def make_mirror(config: WorkflowConfig, study: StudyConfig) -> None:
    """Have a mirror of a study that nobody serves: then questions need not read its database.

    Without room for a mirror there is none, and they do. Raises as :func:`current`.
    """
    path = mirror_path(config.directory, study.name)
    with current(config, study) as moment:
        if moment.without is not None:
            try:
                Mirror.file_of(moment.tables, path).close()
            except MIRROR_ERRORS as error:
                log.warning("%s cannot be written: %s", path, error)
                remove(path)


@contextlib.contextmanager
def _mirrored(study: _Study) -> Iterator[Moment]:
    """What the mirror tells, if it is complete; raises ``NotUsable`` or of ``MIRROR_ERRORS``."""
    study.check_readable()
    wanted = _newest(study)
    deadline = time.monotonic() + PATIENCE_S
    pauses = Pauses(PAUSE_S, PAUSE_MAX_S)
    while True:
        with reading(study.mirror) as tables:
            tid = tables.meta().get("tid")
            if tid is not None and tid >= wanted and _is_known(study, tid):
                yield Moment(tables, tid)
                return
        if not study.is_watched or time.monotonic() > deadline:
            raise NotUsable("it is not as new as the database")
        time.sleep(pauses.next())


def _newest(study: _Study) -> str:
    """The newest transaction of a study's database."""
    for _ in range(TRIES if study.config.is_local else 0):
        try:
            return next(last_tids(study.config.database.transactions)).hex()
        except (NoEnd, StopIteration):
            time.sleep(PAUSE_S)
    with study.records() as records:
        return records.lastTransaction().hex()


def _is_known(study: _Study, tid: str) -> bool:
    """Whether a transaction is in a study's database; only recent ones are looked for."""
    for _ in range(TRIES if study.config.is_local else 0):
        try:
            newer = last_tids(study.config.database.transactions)
            tids = itertools.takewhile(lambda other: other.hex() >= tid, newer)
            return any(other.hex() == tid for other in itertools.islice(tids, KNOWN))
        except NoEnd:
            time.sleep(PAUSE_S)
    with study.records() as records:
        committed = next(records.transactions(bytes.fromhex(tid), None), None)
        return committed is not None and committed.tid.hex() == tid


def _from_database(study: _Study, records: StudyRecords, reason: str) -> Moment:
    """What the database tells, beginning with what the mirror knows, if there is one."""
    name, bd_name = study.config.name, study.config.bd_name
    newest = records.lastTransaction()
    mirror = _copied(study)
    if mirror is not None:
        index = RunIndex(name, records, mirror.tables, bd_name)
        is_its = mirror.tables.meta().get("witness") == records.witness().hex()
        if is_its and _caught_up(index, records, newest):
            return Moment(mirror.tables, index.tid.hex(), reason)
    index = RunIndex(name, records, Mirror.in_memory().tables, bd_name)
    index.walk(newest)
    return Moment(index.tables, index.tid.hex(), reason)


def _copied(study: _Study) -> Mirror | None:
    """A copy of a mirror; ``None`` if it cannot be used."""
    try:
        study.check_readable()
        with reading(study.mirror) as tables:
            return Mirror.copy_of(tables)
    except (*MIRROR_ERRORS, NotUsable):
        return None


def _caught_up(index: RunIndex, records: StudyRecords, newest: bytes) -> bool:
    """Bring an index up to date. Returns whether the database continues what the index knows."""
    known = index.tid
    if not known or known > newest:
        return False
    continues = False
    for committed in records.transactions(known, None):
        continues = continues or committed.tid == known
        if not continues or committed.tid > newest:
            break
        written = {record.oid: record.data for record in committed}
        index.apply(committed.tid, written, written)
    return continues
