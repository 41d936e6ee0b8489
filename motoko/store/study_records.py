"""A study's records as they are in its database, served or not. Read-only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from ZODB.FileStorage import FileStorage
from ZODB.POSException import POSError, POSKeyError

from motoko.config import StudyConfig
from motoko.errors import StudyUnavailable
from motoko.layout import Runtime
from motoko.store.server_address import address
from motoko.store.tids import following
from motoko.store.watch_storage import CONNECTION_ERRORS, WatchStorage


class StudyRecords(Protocol):
    """The records of a database, at any transaction that is not packed away."""

    def lastTransaction(self) -> bytes:
        """The newest transaction."""

    def witness(self) -> bytes:
        """What tells one database from another."""

    def at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record as it was just after ``tid``; ``None`` if it was not there."""

    def written_by(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record exactly as transaction ``tid`` wrote it; ``None`` if that is gone."""

    def transactions(self, start: bytes, log: Path | None) -> Iterator[Any]:
        """The committed transactions from tid ``start`` on, with their records, in order."""


class _FileRecords:
    """The records in a database's file."""

    def __init__(self, path: Path) -> None:
        self._storage = FileStorage(str(path), read_only=True)

    def lastTransaction(self) -> bytes:
        tid: bytes = self._storage.lastTransaction()
        return tid

    def witness(self) -> bytes:
        root = self._before(bytes(8), following(self.lastTransaction()))
        return bytes(root[1]) if root else b""

    def at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        records = (self._before(oid, following(tid)) for oid in oids)
        return [record and record[0] for record in records]

    def written_by(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        records = (self._before(oid, following(tid)) for oid in oids)
        return [record[0] if record and record[1] == tid else None for record in records]

    def transactions(self, start: bytes, log: Path | None) -> Iterator[Any]:
        yield from self._storage.iterator(start, self.lastTransaction())

    def _before(self, oid: bytes, tid: bytes) -> Any:
        try:
            return self._storage.loadBefore(oid, tid)
        except POSKeyError:
            return None

    def close(self) -> None:
        self._storage.close()


@contextlib.contextmanager
def study_records(study: StudyConfig, runtime: Runtime | None) -> Iterator[StudyRecords]:
    """A study's records while the block runs: from its file if that is here, else its server.

    Raises ``StudyUnavailable`` if neither can be read, ``NotCreated`` if there is no database.
    """
    records: _FileRecords | WatchStorage
    try:
        if study.is_local:
            study.check_created()
            records = _FileRecords(study.database.transactions)
        else:
            server = address(study, runtime)
            try:
                records = WatchStorage(server, SimpleQueue())
            except CONNECTION_ERRORS as error:
                raise StudyUnavailable(
                    f"the ZEO server at {server} does not answer",
                    hint="`motoko ps` shows the state of the workflow's servers",
                ) from error
    except PermissionError as error:
        raise study.unreadable(error) from error
    except (*CONNECTION_ERRORS, OSError, POSError, TimeoutError) as error:
        raise StudyUnavailable(
            f"the database of study {study.name} cannot be read: {error!r}",
            hint="`motoko ps` shows the state of the workflow's servers",
        ) from error
    with contextlib.closing(records):
        yield records
