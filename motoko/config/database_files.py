"""Where the files of a study's database are. Paths only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatabaseFiles:
    """The files of one database. BlackDynamite and ZEO have chosen most of the names.

    Attributes:
        directory: what holds them all, ``.bd`` in the study's directory.
    """

    directory: Path

    @classmethod
    def of(cls, study: Path) -> DatabaseFiles:
        """Those of the study in a directory."""
        return cls(study / ".bd")

    @property
    def transactions(self) -> Path:
        """The database itself: the log of its transactions."""
        return self.directory / "bd.zeo"

    @property
    def transactions_lock(self) -> Path:
        """What whoever has the database open holds locked."""
        return self.directory / "bd.zeo.lock"

    @property
    def blobs(self) -> Path:
        """The directory of large values."""
        return self.directory / "zeo.blob"

    @property
    def contents(self) -> Path:
        """The directory of what large files of runs contain, by checksum."""
        return self.directory / "files"

    @property
    def server_config(self) -> Path:
        """The ZEO server's configuration, by which clients find the server."""
        return self.directory / "zeo.conf"

    @property
    def creation_lock(self) -> Path:
        """What whoever creates jobs and runs holds locked."""
        return self.directory / "create.lock"

    @property
    def declarations(self) -> Path:
        """What bd.yaml declared when it was last known to be what the database was made for."""
        return self.directory / "declared.json"

    @property
    def place(self) -> Path:
        """Which directory the study's records were right for last: see ``relocating``."""
        return self.directory / "place.json"
