"""The place that is examined: a workflow's directory, or a directory for a future workflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motoko.config import FILE_NAME, WorkflowConfig, load
from motoko.errors import ConfigError, MotokoError


@dataclass(frozen=True)
class Place:
    """A place that is examined.

    Attributes:
        directory: the directory of the workflow, or for one.
        config: the workflow's configuration; ``None`` if there is none, or it cannot be read.
        error: why it cannot be read.
    """

    directory: Path
    config: WorkflowConfig | None
    error: MotokoError | None = None

    @property
    def daemons(self) -> int:
        """How many daemons the workflow will have: a server and a launcher a study, and three."""
        studies = len(self.config.local_studies) if self.config else 1
        return 2 * studies + 3

    @property
    def directories(self) -> list[Path]:
        """The workflow's own directory, and those of its studies."""
        studies = self.config.studies.values() if self.config else ()
        return [self.directory, *(study.directory for study in studies if study.is_local)]


def place_of(where: Path | None) -> Place:
    """The place of a directory, or of a motoko.yaml, whether it can be read or not.

    Raises ``ConfigError`` if there is no such directory.
    """
    path = Path(where or ".").absolute()
    if not path.exists():
        raise ConfigError(f"there is no directory {path}", hint="name one that exists")
    directory = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / FILE_NAME).exists():
        return Place(directory, None)
    try:
        return Place(directory, load(path))
    except ConfigError as error:
        return Place(directory, None, error)
