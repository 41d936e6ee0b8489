"""The paths of the files of a study's database. Paths only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatabaseFiles:
    """The files of one database. BlackDynamite and ZEO have chosen most of the names.

    Attributes:
        directory: the directory that holds them all, ``.bd`` in the study's directory.
    """

    directory: Path

    @classmethod
    def of(cls, study: Path) -> DatabaseFiles:
        """The files of the study in a directory."""
        return cls(study / ".bd")

    @property
    def transactions(self) -> Path:
        """The database itself: the log of its transactions."""
        return self.directory / "bd.zeo"

    @property
    def transactions_lock(self) -> Path:
        """The file that a process locks while it has the database open."""
        return self.directory / "bd.zeo.lock"

    @property
    def packing_lock(self) -> Path:
        """The file that a process locks while it replaces or copies the database's file."""
        return self.directory / "packing.lock"

    @property
    def before_packing(self) -> Path:
        """The database as it was before it was packed, if whoever packed it has kept that."""
        return self.directory / "bd.zeo.old"

    @property
    def blobs(self) -> Path:
        """The directory of large values."""
        return self.directory / "zeo.blob"

    @property
    def contents(self) -> Path:
        """The directory of the contents of runs' large files, by checksum."""
        return self.directory / "files"

    @property
    def server_config(self) -> Path:
        """The ZEO server's configuration, in which clients find the server's address."""
        return self.directory / "zeo.conf"

    @property
    def creation_lock(self) -> Path:
        """The file that a process locks while it creates jobs and runs."""
        return self.directory / "create.lock"

    @property
    def declarations(self) -> Path:
        """What bd.yaml declared when its declarations were last known to match the database."""
        return self.directory / "declared.json"

    @property
    def place(self) -> Path:
        """The directory for which the study's records were right last: see ``relocating``."""
        return self.directory / "place.json"
