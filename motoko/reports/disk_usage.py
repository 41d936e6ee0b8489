"""Where a workflow's space on the disk is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from motoko.config import StudyConfig, WorkflowConfig
from motoko.host.disk_space import used
from motoko.layout import mirror_path
from motoko.runs.paths import runs_directory


class StudySpace(msgspec.Struct, frozen=True):
    """What a study takes, in bytes.

    Attributes:
        database: its database, with a former file that packing has left.
        files: the contents of its runs' large files.
        mirror: the copy of its runs that queries read.
        directories: how many run directories there are.
        runs: what these take.
    """

    study: str
    database: int
    files: int
    mirror: int
    directories: int
    runs: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.database + self.files + self.mirror + self.runs


class DiskUsage(msgspec.Struct, frozen=True):
    """What a workflow takes, in bytes. ``logs``: of the daemons."""

    workflow: str
    studies: list[StudySpace]
    logs: int

    @property
    def total(self) -> int:
        """All of it, without the user's own files."""
        return self.logs + sum(study.total for study in self.studies)


def collect(config: WorkflowConfig) -> DiskUsage:
    """Where the space is. Looks at every file of every run."""
    studies = [_of(config, study) for study in config.studies.values()]
    return DiskUsage(str(config.path), studies, used(config.directory / ".wf" / "log"))


def _of(config: WorkflowConfig, study: StudyConfig) -> StudySpace:
    files = study.database
    runs = runs_directory(study)
    mirror = mirror_path(config.directory, study.name)
    of_database = [*files.directory.glob(f"{files.transactions.name}*"), files.blobs]
    return StudySpace(
        study.name,
        database=used(*of_database),
        files=used(files.contents),
        mirror=used(*mirror.parent.glob(f"{mirror.name}*")),
        directories=_count(runs),
        runs=used(runs),
    )


def _count(directory: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.name.startswith("run-") for path in directory.iterdir())
    return 0
