"""What is in a directory of backups, and reading it.

motoko-backup.json        says that it is one, and of which workflow
databases/<study>/        the copies of a study's database: repozo's files
snapshots/<date>.json     what one backup has; it is written last
snapshots/<date>/         the workflow's files then
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from motoko.errors import BadBackup
from motoko.host.files import contents
from motoko.host.inner_paths import first_wrong
from motoko.operations.file_trees import FileFacts

FORMAT = 1
T = TypeVar("T")


class DatabaseCopy(msgspec.Struct, frozen=True):
    """A study's database in one backup.

    Attributes:
        name: the last of its files, without the ending.
        tid: the last transaction in it (hexadecimal).
        size: how many bytes the database has.
        inode: the number of the file that was copied: another one after packing.
    """

    name: str
    tid: str
    size: int
    inode: int


class Snapshot(msgspec.Struct, frozen=True):
    """One backup. ``taken``: when it was begun (UTC, ISO). ``files``: by their relative paths."""

    format: int
    taken: str
    motoko: str
    databases: dict[str, DatabaseCopy]
    files: dict[str, FileFacts]
    has_runs: bool = False

    @property
    def begun(self) -> datetime:
        """When the backup was begun."""
        return datetime.fromisoformat(self.taken)

    @property
    def name(self) -> str:
        """The name of its files' directory."""
        return self.begun.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%S-%fZ")


class Marker(msgspec.Struct, frozen=True):
    """The content of motoko-backup.json. ``workflow``: the directory of the workflow."""

    format: int
    workflow: str


@dataclass(frozen=True)
class BackupDirectory:
    """The paths in a directory of backups."""

    path: Path

    @property
    def marker(self) -> Path:
        """The file that says that the directory is one of backups."""
        return self.path / "motoko-backup.json"

    @property
    def lock(self) -> Path:
        """The file that a process locks while it makes a backup."""
        return self.path / ".lock"

    def copies(self, study: str) -> Path:
        """The directory of the copies of a study's database."""
        return self.databases / study

    @property
    def databases(self) -> Path:
        """The directory of all studies' copies."""
        return self.path / "databases"

    @property
    def snapshots(self) -> Path:
        """The directory of all backups' files and descriptions."""
        return self.path / "snapshots"

    def files(self, snapshot: Snapshot) -> Path:
        """The directory of the workflow's files in a backup."""
        return self.snapshots / snapshot.name

    def description(self, snapshot: Snapshot) -> Path:
        """The file that describes a backup."""
        return self.snapshots / f"{snapshot.name}.json"

    def read_marker(self) -> Marker | None:
        """Which workflow's backups these are; ``None`` if the directory is no such one.

        Raises ``BadBackup`` if a later version of Motoko has made it, or it cannot be read.
        """
        return self._read(self.marker, Marker)

    def all(self) -> list[Snapshot]:
        """The backups, the oldest first. Raises ``BadBackup``."""
        snapshots = []
        for path in self.snapshots.glob("*.json"):
            if (snapshot := self._read(path, Snapshot)) is not None:
                _check_names(path, snapshot)
                snapshots.append(snapshot)
        return sorted(snapshots, key=lambda snapshot: snapshot.taken)

    def complete(self) -> list[Snapshot]:
        """All backups, of which there is at least one. Raises ``BadBackup``."""
        if self.read_marker() is None:
            raise BadBackup(
                f"{self.path} is no directory of backups", hint="`motoko backup` makes one"
            )
        if not (snapshots := self.all()):
            raise BadBackup(f"{self.path} has no complete backup", hint="make one: `motoko backup`")
        return snapshots

    def _read(self, path: Path, kind: type[T]) -> T | None:
        content = contents(path)
        if content is None:
            return None
        try:
            version = msgspec.json.decode(content, type=_Versioned).format
            if version <= FORMAT:
                return msgspec.json.decode(content, type=kind)
        except ValueError as error:
            raise BadBackup(f"{path} is damaged: {error}") from error
        raise BadBackup(
            f"{path} was written by a later version of Motoko (format {version})",
            hint="install that version",
        )


def _check_names(path: Path, snapshot: Snapshot) -> None:
    """Raise ``BadBackup`` for a name that would lead out of the restored workflow."""
    links = {name for name, facts in snapshot.files.items() if facts.target}
    wrong = first_wrong(snapshot.files, links) or first_wrong(snapshot.databases)
    if wrong is None:
        wrong = next((f"{name!r} is no study" for name in snapshot.databases if "/" in name), None)
    if wrong is not None:
        raise BadBackup(f"{path} is damaged: {wrong}", hint="it is not what Motoko has written")


class _Versioned(msgspec.Struct):
    format: int
