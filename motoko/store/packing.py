"""Packing a study's database: earlier revisions are dropped, and the file shrinks.

ZODB copies what stays to another file, while the database is used, and puts it in the place of the
present one. History up to a moment is dropped; what was committed since then is kept as it is.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import StorageError

from motoko.config.database_files import DatabaseFiles
from motoko.errors import MotokoError, NoRoom, StudyUnavailable
from motoko.host.locks import locked
from motoko.host.sizes import shown
from motoko.store.internals.zeo_clients import ServerClient
from motoko.store.log_end import NoEnd, superseded
from motoko.store.tids import at

if TYPE_CHECKING:
    from motoko.store.base import StudyBase

DAY_S = 86400.0
# The watcher and other processes may need what was overwritten just now: they read exact revisions.
LATEST_S = 60.0
_ROOM = 1.05  # of the size that the packed file is expected to have
_TRIES = 3  # to read a file that is being written


@dataclass(frozen=True)
class Packed:
    """What packing has changed: the database's bytes before and after; history goes until then."""

    before: int
    after: int
    until: float

    @property
    def freed(self) -> int:
        """How many bytes are free again; a database that was written meanwhile may have grown."""
        return max(0, self.before - self.after)


def pack_time(days: float, *, is_served: bool = True) -> float:
    """Up to when history is dropped, if so many days are to be kept (seconds since 1970).

    Of a database that is served, the last minute always stays.
    """
    return time.time() - max(days * DAY_S, LATEST_S if is_served else 0.0)


def pack(base: StudyBase, until: float) -> Packed:
    """Pack a study's database, through its server if it has one.

    Args:
        base: the study's base, which may write.
        until: history up to this moment is dropped (seconds since 1970).

    Raises ``NoRoom``; ``StudyUnavailable`` if the server ends meanwhile, which loses nothing.
    """
    storage, files = base.db.storage, base.study.database
    require_room(files, until)  # the server can only say that it has failed
    before = disk_use(files)
    try:
        if is_served(base):
            storage.pack(until)
        else:
            storage.pack_keep_old = False
            with packing(files, until):
                storage.pack(until, base.db.references)
    except ClientDisconnected as error:
        raise StudyUnavailable(
            f"the ZEO server of study {base.study.name} has ended while it packed the database",
            hint="nothing is lost: pack it again",
        ) from error
    except StorageError as error:
        raise MotokoError(f"study {base.study.name} could not be packed: {error}") from error
    return Packed(before, disk_use(files), until)


@contextlib.contextmanager
def packing(files: DatabaseFiles, until: float) -> Iterator[None]:
    """Keep others from packing or copying the database. Raises ``NoRoom`` like `require_room`."""
    with locked(files.packing_lock):
        require_room(files, until)
        yield


def require_room(files: DatabaseFiles, until: float) -> None:
    """Raise ``NoRoom`` unless a copy of what stays fits on the disk."""
    total, outdated = droppable(files, until)
    needed = round((total - outdated) * _ROOM)
    free = shutil.disk_usage(files.directory).free
    with contextlib.suppress(OSError):
        free += files.before_packing.stat().st_size  # it is removed first
    if needed > free:
        raise NoRoom(
            f"{files.directory}: packing writes up to {shown(needed)}, and {shown(free)} are free",
            hint="free some space there (`motoko du`), then pack again",
        )


def droppable(files: DatabaseFiles, until: float) -> tuple[int, int]:
    """How many bytes a database has, and how many of them packing would drop; roughly."""
    tid = bytes.fromhex(at(datetime.fromtimestamp(until, UTC)))
    for _ in range(_TRIES):
        with contextlib.suppress(NoEnd):  # a transaction is being written
            return superseded(files.transactions, tid)
    return files.transactions.stat().st_size, 0


def is_served(base: StudyBase) -> bool:
    """Whether a base is a connection to a server, and not the opened file."""
    return isinstance(base.db.storage, ServerClient)


def disk_use(files: DatabaseFiles) -> int:
    """How many bytes a database has on the disk: its file, a former one, and its large values."""
    return sum(_sizes(files))


def _sizes(files: DatabaseFiles) -> Iterator[int]:
    blobs = files.blobs.rglob("*") if files.blobs.is_dir() else ()
    for path in (files.transactions, files.before_packing, *blobs):
        with contextlib.suppress(OSError):
            info = path.lstat()
            yield info.st_size if stat.S_ISREG(info.st_mode) else 0
