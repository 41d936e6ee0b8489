"""Making a workflow of a backup."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from motoko.config.database_files import DatabaseFiles
from motoko.control.daemon_records import SUPERVISOR
from motoko.errors import BadBackup, CannotWrite, ConfigError
from motoko.host.durations import moment
from motoko.host.locks import is_locked
from motoko.layout import lock_path, mirror_path, snapshot_path
from motoko.operations.backup_directory import BackupDirectory, Snapshot
from motoko.operations.file_trees import put_files


@dataclass
class Restored:
    """What was restored.

    Attributes:
        files: the backup that the files are of.
        studies: the last transaction (hexadecimal) of each study's database; ``None`` if the study
            had no database then.
    """

    files: Snapshot
    studies: dict[str, str | None] = field(default_factory=dict)


def restore(source: Path, directory: Path, *, at: str = "", overwrite: bool = False) -> Restored:
    """Write the workflow of a backup into a directory.

    Args:
        source: a directory of backups.
        directory: the workflow's directory, which is made if it is missing.
        at: a transaction or time, as for ``table --at``: the databases are as they were then; the
            files are those of the last backup before. By default all is as in the last backup.
        overwrite: write into a directory that is not empty; other files in it stay.

    Raises ``BadBackup`` if the backup is damaged or does not reach that time; ``ConfigError`` if
    the directory is not empty, or its workflow is running. Then nothing in it was changed. Raises
    ``CannotWrite`` if that fails later.
    """
    from motoko.mirror.earlier_state import earlier_tid

    backups = BackupDirectory(source.absolute())
    all_of_them = backups.complete()
    wanted = earlier_tid(at) if at else ""
    chosen, files = _chosen(all_of_them, wanted)
    _check(directory, overwrite=overwrite)
    try:
        return _written(backups, chosen, files, directory, wanted)
    except OSError as error:
        raise CannotWrite(
            f"{directory} is not completely restored: {error.filename or directory}: "
            f"{error.strerror or error}",
            hint="mend that, and restore it again with --overwrite",
        ) from error


def _written(
    backups: BackupDirectory, chosen: Snapshot, files: Snapshot, directory: Path, wanted: str
) -> Restored:
    directory.mkdir(parents=True, exist_ok=True)
    restored = Restored(files)
    prepared: dict[str, Path | None] = {}
    try:
        for study in chosen.databases:
            prepared[study], restored.studies[study] = _database(
                backups, chosen, study, directory, wanted
            )
        put_files(backups.files(files), files.files, directory)
        for study, path in prepared.items():
            _put(directory, study, path)
    finally:
        for path in prepared.values():
            if path is not None:
                path.unlink(missing_ok=True)
    return restored


def _chosen(backups: Sequence[Snapshot], wanted: str) -> tuple[Snapshot, Snapshot]:
    """The backup whose databases have a state, and the one whose files are nearest before it."""
    if not wanted:
        return backups[-1], backups[-1]
    having = [one for one in backups if _reaches(one) >= wanted]
    if not having:
        raise BadBackup(
            f"the last backup was made at {_shown(backups[-1])}, before that time",
            hint="leave out --at to restore it",
        )
    before = [one for one in backups if _begun(one) <= wanted]
    return having[0], before[-1] if before else having[0]


def _begun(snapshot: Snapshot) -> str:
    from motoko.store.tids import at

    return at(snapshot.begun)


def _reaches(snapshot: Snapshot) -> str:
    return max(_begun(snapshot), *(copy.tid for copy in snapshot.databases.values()))


def _shown(snapshot: Snapshot) -> str:
    return moment(snapshot.begun.timestamp())


def _check(directory: Path, *, overwrite: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is no directory", hint="name another one")
    if not directory.is_dir() or not any(directory.iterdir()):
        return
    if not overwrite:
        raise ConfigError(
            f"{directory} is not empty; nothing was changed",
            hint="name a new directory, or add --overwrite",
        )
    databases = [DatabaseFiles(path) for path in directory.glob("*/.bd")]
    locks = [lock_path(directory, SUPERVISOR), *(files.transactions_lock for files in databases)]
    if any(is_locked(path) for path in locks if path.exists()):
        raise ConfigError(
            f"the workflow in {directory} is running; nothing was changed",
            hint="`motoko kill` there first",
        )


def _database(
    backups: BackupDirectory, chosen: Snapshot, study: str, directory: Path, wanted: str
) -> tuple[Path | None, str | None]:
    """Write a study's database next to its place; returns the file and the last transaction."""
    from motoko.store import database_copies

    files = DatabaseFiles.of(directory / study)
    files.directory.mkdir(parents=True, exist_ok=True)
    path = files.directory / f"restored-{files.transactions.name}"
    copy = chosen.databases[study]
    try:
        database_copies.recover(backups.copies(study), copy.name, path)
        if wanted and wanted < copy.tid:
            last = database_copies.cut(path, bytes.fromhex(wanted))
            if last is None:
                path.unlink()
                return None, None
            return path, last.hex()
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return path, copy.tid


def _put(directory: Path, study: str, path: Path | None) -> None:
    """Put a database in its place, and remove what was made of the one that was there."""
    files = DatabaseFiles.of(directory / study)
    derived = [files.transactions.with_name(f"{files.transactions.name}.index")]
    mirror = mirror_path(directory, study)
    derived += mirror.parent.glob(f"{mirror.name}*")
    for leftover in [*derived, snapshot_path(directory)]:
        leftover.unlink(missing_ok=True)
    if path is None:
        files.transactions.unlink(missing_ok=True)
    else:
        path.replace(files.transactions)
    files.blobs.mkdir(exist_ok=True)
