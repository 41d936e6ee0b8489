"""Backing up a workflow while it runs: its databases, ``vars``, and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import BadBackup, CannotWrite, ConfigError, MotokoError
from motoko.host.files import write_durably
from motoko.host.locks import locked, locked_if_free
from motoko.operations.backup_directory import (
    FORMAT,
    BackupDirectory,
    DatabaseCopy,
    Marker,
    Snapshot,
)
from motoko.operations.backup_removal import keep_last
from motoko.operations.file_trees import copy_tree, wrong_files
from motoko.runs.paths import runs_directory

VARS = ".wf/wf.db"
# Not part of a workflow, or made anew by whoever needs it.
_LEFT_OUT = frozenset({".wf", "__pycache__", ".ipynb_checkpoints"})
_OF_SERVERS = ("bd.zeo", "zeo.conf", "zeo.log")  # in .bd: the databases are copied by themselves
_ENVIRONMENT = "pyvenv.cfg"


@dataclass(frozen=True)
class StudyBackup:
    """What was done for a study. ``reason``: why the whole database was copied, or why nothing."""

    study: str
    copy: DatabaseCopy | None
    added: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Backup:
    """A backup that was made, and how many earlier ones were removed."""

    snapshot: Snapshot
    studies: list[StudyBackup]
    new_files: int
    new_bytes: int
    removed: int = 0


def back_up(
    config: WorkflowConfig,
    place: Path,
    *,
    whole: bool = False,
    with_runs: bool = False,
    keep: int | None = None,
) -> Backup:
    """Add a backup to a directory, which is made if it is missing.

    Args:
        config: the workflow, which may be running.
        place: the directory of backups, outside of the workflow's.
        whole: copy the whole databases, not only what was added since the last backup.
        with_runs: back up the run directories, too.
        keep: how many backups are left there; older ones are removed. By default all stay.

    Raises ``ConfigError`` for a directory of something else, ``BadBackup`` for one that cannot be
    read, ``MotokoError`` if another process is making a backup there, ``CannotWrite``.
    """
    target = BackupDirectory(place.absolute())
    _check(config, target)
    try:
        target.snapshots.mkdir(parents=True, exist_ok=True)
        with locked_if_free(target.lock) as free:
            if not free:
                raise MotokoError(f"another process is making a backup in {place}")
            if not target.marker.exists():
                marker = Marker(FORMAT, str(config.directory.resolve()))
                write_durably(target.marker, msgspec.json.encode(marker).decode() + "\n")
            made = _added(config, target, whole=whole, with_runs=with_runs)
            if keep is None:
                return made
            return replace(made, removed=keep_last(target, keep))
    except OSError as error:
        where = error.filename or target.path
        raise CannotWrite(
            f"the backup is not complete: {where}: {error.strerror or error}",
            hint="earlier backups there are as they were; make it again",
        ) from error


def _check(config: WorkflowConfig, target: BackupDirectory) -> None:
    workflow = config.directory.resolve()
    if target.path.resolve().is_relative_to(workflow):
        raise ConfigError(
            f"{target.path} is in the workflow's own directory",
            hint="choose another one, best on another disk: what deletes the one deletes the other",
        )
    marker = target.read_marker()
    if marker is None:
        if target.path.is_dir() and any(target.path.iterdir()):
            raise ConfigError(
                f"{target.path} is not empty, and no directory of backups",
                hint="name a new directory",
            )
    elif Path(marker.workflow) != workflow:
        raise ConfigError(
            f"{target.path} has backups of another workflow: {marker.workflow}",
            hint="each workflow needs a directory of its own (if it was moved: a new one)",
        )


def _added(
    config: WorkflowConfig, target: BackupDirectory, *, whole: bool, with_runs: bool
) -> Backup:
    earlier = target.all()
    last = earlier[-1] if earlier else None
    taken = datetime.now(UTC)
    studies = [_study(study, target, last, whole) for study in config.studies.values()]
    databases = {one.study: one.copy for one in studies if one.copy is not None}
    snapshot = Snapshot(
        FORMAT, taken.isoformat(), version("motoko"), databases, {}, has_runs=with_runs
    )
    leaves_out = _leaving_out(config, with_runs=with_runs)
    known = {} if last is None else last.files
    place, before = target.files(snapshot), None if last is None else target.files(last)
    files = copy_tree(config.directory, place, leaves_out, known, before)
    if (wf_db := config.directory / VARS).exists():
        with locked(wf_db.with_name(f"{wf_db.name}.access"), shared=True):
            facts = copy_tree(wf_db.parent, place / ".wf", lambda path: path != wf_db, {}, None)
        files |= {f".wf/{name}": fact for name, fact in facts.items()}
    snapshot = msgspec.structs.replace(snapshot, files=files)
    write_durably(target.description(snapshot), msgspec.json.encode(snapshot).decode() + "\n")
    new = [fact for name, fact in files.items() if known.get(name) != fact]
    return Backup(snapshot, studies, len(new), sum(fact.size for fact in new))


def _study(
    study: StudyConfig, target: BackupDirectory, last: Snapshot | None, whole: bool
) -> StudyBackup:
    from motoko.store import database_copies

    if not study.is_local:
        return StudyBackup(study.name, None, reason=f"its database is elsewhere: {study.host}")
    if not study.created:
        return StudyBackup(study.name, None, reason="not created")
    known = last.databases.get(study.name) if last else None
    place = target.copies(study.name)
    copied = database_copies.copy(
        study.database,
        place,
        None if known is None else (known.name, known.inode),
        whole=whole,
    )
    reason = ""
    if copied.is_whole:
        reason = "all of it"
        if known is not None and not whole:
            reason += ": it was packed or replaced since the last backup"
    copy = DatabaseCopy(copied.name, copied.tid, copied.size, copied.inode)
    return StudyBackup(study.name, copy, copied.added, reason)


def _leaving_out(config: WorkflowConfig, *, with_runs: bool) -> Callable[[Path], bool]:
    studies = config.studies.values()
    databases = {study.database.directory for study in studies}
    runs = set() if with_runs else {runs_directory(study) for study in studies}

    def leaves_out(path: Path) -> bool:
        if path.parent in databases:
            return is_of_servers(path)
        return path.name in _LEFT_OUT or path in runs or (path / _ENVIRONMENT).exists()

    return leaves_out


def is_of_servers(path: Path) -> bool:
    """Whether a file in .bd is a server's own, or the database, which is copied by itself."""
    return path.suffix == ".lock" or path.name.startswith(_OF_SERVERS)


def verify(place: Path) -> list[Snapshot]:
    """Check all backups in a directory: every byte is as it was written. Returns them.

    Raises ``BadBackup``, which names all that is wrong.
    """
    from motoko.store import database_copies

    source = BackupDirectory(place.absolute())
    snapshots = source.complete()
    wrong: dict[str, None] = {}  # the files of a backup may be those of another one, too
    for snapshot in snapshots:
        for study, copy in snapshot.databases.items():
            try:
                database_copies.verify(source.copies(study), copy.name)
            except BadBackup as error:
                wrong[str(error)] = None
        wrong |= dict.fromkeys(wrong_files(source.files(snapshot), snapshot.files))
    if wrong:
        lines = "\n".join(f"  {line}" for line in wrong)
        raise BadBackup(f"{place} is damaged:\n{lines}", hint="make a new one with --full")
    return snapshots
