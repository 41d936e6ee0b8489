"""A study's files as they are now: launch.sh, doIt.py and config files."""

from __future__ import annotations

import hashlib
import json
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from motoko.config import StudyConfig
from motoko.config.run_files import LAUNCH
from motoko.errors import ConfigError
from motoko.runs.placeholders import PREFIX, is_binary
from motoko.store.large_contents import LARGE, Content, keep, looked_at, use

LAUNCH_MODE = 0o700  # of the study's launch.sh, in its id: whatever its permissions are
# A file that was changed less than this many seconds ago may change again with the same time.
_RACY_S = 2.0


@dataclass(frozen=True)
class PresentFile:
    """A file as it is now.

    Attributes:
        name: its name in run directories.
        path: where it is.
        mode: its permissions.
        content: what it contains, by checksum.
        data: the bytes; ``None`` for a large file.
    """

    name: str
    path: Path
    mode: int
    content: Content
    data: bytes | None

    @cached_property
    def id(self) -> str:
        """An id: the same for files of the same name, content and mode, and only for these."""
        text = f"{self.name}\0{self.mode:o}\0{self.content.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @cached_property
    def launch_id(self) -> str:
        """The id of the file as launch.sh: BlackDynamite's, by which motoko 0.1.4 finds a run.

        :attr:`id` if BlackDynamite's would tell less: for bytes that are not text, or with ``\\r``.
        """
        data = self.read()
        is_told = data and b"\r" not in data and self.old_id is not None
        return str(self.old_id) if is_told else self.id

    @cached_property
    def old_id(self) -> str | None:
        """BlackDynamite's id of a text file with this content; ``None`` if it is not text."""
        data = self.path.read_bytes() if self.data is None else self.data
        try:
            text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            return None
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def read(self) -> bytes:
        """What it contains. Raises ``OSError``."""
        return self.path.read_bytes() if self.data is None else self.data


@dataclass(frozen=True)
class PresentFiles:
    """The files that a study's runs get.

    Attributes:
        launch: launch.sh.
        others: the other files.
    """

    launch: PresentFile
    others: tuple[PresentFile, ...]

    @property
    def all(self) -> tuple[PresentFile, ...]:
        """launch.sh, and then the others."""
        return (self.launch, *self.others)

    @cached_property
    def checksum(self) -> str:
        """The checksum of the other files; launch.sh, by which runs differ, is left out."""
        return checksum(
            (file.name, file.content.digest, is_executable(file.mode)) for file in self.others
        )


def is_executable(mode: int) -> bool:
    """Whether a file's owner may execute it."""
    return bool(mode & stat.S_IXUSR)


def checksum(files: Iterable[tuple[str, str, bool]]) -> str:
    """The checksum of files: of their names, their digests, and whether they are executable."""
    text = json.dumps(sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class StudyFiles:
    """Reads the files of one study; a file that has not changed is read once.

    Args:
        study: the study.
        keeping: whether to keep large contents beside the database, for files that will be stored.
        locked: whether the caller holds the study's lock until it has committed the stored files.
    """

    def __init__(self, study: StudyConfig, *, keeping: bool, locked: bool = False) -> None:
        self._study = study
        self._keeping = keeping
        self._locked = locked
        self._known: dict[str, tuple[tuple[object, ...], PresentFile]] = {}

    def present(self) -> PresentFiles:
        """The files as they are. Raises ``ConfigError`` for one that cannot be read or kept."""
        return self._present(self._study.files)

    def present_of(self, sources: Mapping[str, str]) -> PresentFiles:
        """The present files, for paths by name, which are relative to the study's directory."""
        directory = self._study.directory
        return self._present({name: directory / source for name, source in sources.items()})

    def _present(self, files: Mapping[str, Path]) -> PresentFiles:
        return PresentFiles(
            launch=self._file(LAUNCH, self._study.launch_script, LAUNCH_MODE),
            others=tuple(self._file(name, path) for name, path in files.items()),
        )

    def _file(self, name: str, path: Path, mode: int | None = None) -> PresentFile:
        try:
            info = path.stat()
            permissions = stat.S_IMODE(info.st_mode) & 0o777 if mode is None else mode
            state = (
                *(str(path), permissions, info.st_dev, info.st_ino),
                *(info.st_size, info.st_mtime_ns, info.st_ctime_ns),
            )
            known = self._known.get(name)
            if known is not None and known[0] == state and self._is_at_hand(known[1]):
                return known[1]
            file = self._read(name, path, permissions, info.st_size)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read, or kept: {error.strerror or error}",
                hint=f"every run of study {self._study.name} gets this file: see that it is there",
            ) from error
        if time.time() - max(info.st_mtime, info.st_ctime) > _RACY_S:
            self._known[name] = state, file
        return file

    def _is_at_hand(self, file: PresentFile) -> bool:
        """Whether the content is still kept, if it must be: it may have been dropped."""
        directory = self._study.contents_directory
        if file.data is not None or not self._keeping or directory is None:
            return True
        return use(directory, file.content, locked=self._locked)

    def _read(self, name: str, path: Path, mode: int, size: int) -> PresentFile:
        if size <= LARGE:
            data = path.read_bytes()
            is_template = PREFIX in data and not is_binary(data)
            content = Content(hashlib.sha256(data).hexdigest(), len(data), is_template)
            return PresentFile(name, path, mode, content, data)
        if not self._keeping:
            return PresentFile(name, path, mode, looked_at(path), None)
        directory = self._study.contents_directory
        if directory is None:
            raise ConfigError(
                f"{path}: has more than {LARGE // 1000} kB, and the database of study"
                f" {self._study.name} is on another host",
                hint="have the runs read it where it is, or make the study there",
            )
        return PresentFile(name, path, mode, keep(path, directory, locked=self._locked), None)
