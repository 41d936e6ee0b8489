"""The files that a database keeps for its runs: by name, each with its bytes and its mode.

Each is stored as BlackDynamite's own tools read it, a text by name, and with what they lack: mode,
checksum, and the bytes if these are not text. Files that were stored by BlackDynamite itself, or
by an earlier version of Motoko, have only the text.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import BlackDynamite
from BlackDynamite.conffile_zeo import ConfFile

from motoko.config.run_files import name_in_run
from motoko.errors import FileGone
from motoko.host.sizes import megabytes
from motoko.runs.entries import OwnEntries
from motoko.runs.placeholders import PREFIX, is_binary
from motoko.store.base import StudyBase
from motoko.store.large_contents import place
from motoko.store.present_files import (
    PresentFile,
    PresentFiles,
    StudyFiles,
    checksum,
    is_executable,
)

BLACKDYNAMITE_VERSION: str = BlackDynamite.__version__
_OLD_MODE = 0o644
_MADE = "motoko"  # an attribute of a stored file, which earlier versions did not set


@dataclass(frozen=True)
class StoredFile:
    """A file of a run, as the database keeps it.

    Attributes:
        id: its id in the database.
        name: its name in the run directory.
        mode: its permissions there.
        content: its bytes, or the path of a file that holds them.
        digest: the SHA-256 of its content.
        is_template: whether placeholders are replaced in it.
        source: where it was, relative to the study's directory; empty if that is not known.
        is_of_study: whether it is one of the study's own files; else a user has added it to the
            run, or an earlier version has stored it.
    """

    id: str
    name: str
    mode: int
    content: bytes | Path
    digest: str
    is_template: bool
    source: str
    is_of_study: bool

    def read(self) -> bytes:
        """What it contains. Raises ``OSError``."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def store(base: StudyBase, file: PresentFile) -> str:
    """Have the database keep a file; returns its id."""
    return _store(base, file, file.id)


def store_launch(base: StudyBase, file: PresentFile) -> str:
    """Have the database keep a launch.sh; returns its id."""
    return _store(base, file, file.launch_id)


def _store(base: StudyBase, file: PresentFile, file_id: str) -> str:
    if file_id not in base.configfiles:
        base.configfiles[file_id] = _record(base, file, file_id)
    return file_id


def assign(base: StudyBase, run: Any, present: PresentFiles, *, launch: str | None = None) -> None:
    """Give a run the study's present files in place of those it had.

    A file that a user has added to the run stays, unless one of the present files has its name.
    ``launch`` is the id of the launch.sh that the run keeps.
    """
    names = {file.name for file in present.all}
    others = _others(base, run)
    added = [file.id for file in others if not file.is_of_study and file.name not in names]
    if launch is None:
        launch = run.entries["exec"] = store_launch(base, present.launch)
    wanted = [launch, *(store(base, file) for file in present.others), *added]
    if set(run.configfiles) != set(wanted):
        run.configfiles.clear()
        run.configfiles.update(wanted)


def renew(base: StudyBase, run: Any, files: StudyFiles) -> None:
    """Give a run its files as they are now. Raises ``ConfigError`` for one that is missing."""
    _, others = files_of(base, run)
    sources = {file.name: file.source for file in others if file.source}
    present = files.present_of(sources) if sources else files.present()
    assign(base, run, present, launch=run.entries["exec"])


def files_of(base: StudyBase, run: Any) -> tuple[StoredFile, list[StoredFile]]:
    """A run's launch.sh, and its other files; of two with one name, the one added to the run."""
    return _stored(base, run.entries["exec"]), _others(base, run)


def _others(base: StudyBase, run: Any) -> list[StoredFile]:
    executable = run.entries.get("exec")
    others = [_stored(base, file_id) for file_id in run.configfiles if file_id != executable]
    others.sort(key=lambda file: (not file.is_of_study, file.name))
    return [*{file.name: file for file in others}.values()]


def checksum_of(base: StudyBase, run: Any) -> str:
    """The checksum of the files that a run was made with, to be compared with the present ones'."""
    noted = OwnEntries(run.entries).files_checksum
    if noted is not None:
        return noted
    return checksum_of_files(_others(base, run))


def of_study(files: Sequence[StoredFile]) -> Sequence[StoredFile]:
    """The study's own files among those of a run; all files if an earlier version stored them."""
    return [file for file in files if file.is_of_study] or files


def checksum_of_files(files: Sequence[StoredFile]) -> str:
    """The checksum of the study's own files among these."""
    own = of_study(files)
    return checksum((file.name, file.digest, is_executable(file.mode)) for file in own)


def _record(base: StudyBase, file: PresentFile, file_id: str) -> ConfFile:
    record = ConfFile(file.name, content=_text(file))
    record.id, record.filename = file_id, file.name
    exact = file.data is not None and record.file.encode(errors="surrogatepass") == file.data
    setattr(
        record,
        _MADE,
        {
            "mode": file.mode,
            "digest": file.content.digest,
            "size": file.content.size,
            "is_template": file.content.is_template,
            "data": None if exact else file.data,
            "is_outside": file.data is None,
            "source": _source(base, file.path),
        },
    )
    return record


def _source(base: StudyBase, path: Path) -> str:
    directory = base.study.directory
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)


def _text(file: PresentFile) -> str:
    """The text that BlackDynamite's tools show for a file. They cannot show an empty one."""
    if file.data is None:
        size = megabytes(file.content.size)
        return f"({size}, SHA-256 {file.content.digest}: kept beside the database)\n"
    return file.data.decode(errors="replace") or "\n"


def _stored(base: StudyBase, file_id: str) -> StoredFile:
    try:
        record = base.configfiles[file_id]
    except KeyError:
        raise FileGone(f"the database does not have the run's file {file_id}") from None
    made = vars(record).get(_MADE)
    if made is None:
        data = record.file.encode()
        return StoredFile(
            id=file_id,
            name=name_in_run(record.filename),
            mode=_OLD_MODE,
            content=data,
            digest=hashlib.sha256(data).hexdigest(),
            is_template=PREFIX in data and not is_binary(data),
            source="",
            is_of_study=False,
        )
    return StoredFile(
        id=file_id,
        name=record.filename,
        mode=made["mode"],
        content=_content(base, record, made),
        digest=made["digest"],
        is_template=made["is_template"],
        source=made.get("source", ""),
        is_of_study=True,
    )


def outside_digest(base: StudyBase, file_id: str) -> str | None:
    """The checksum of a file that is kept beside the database; ``None`` for all others."""
    record = base.configfiles.get(file_id)
    made = None if record is None else vars(record).get(_MADE)
    digest: str | None = made["digest"] if made is not None and made["is_outside"] else None
    return digest


def _content(base: StudyBase, record: ConfFile, made: dict[str, Any]) -> bytes | Path:
    if not made["is_outside"]:
        data: bytes = record.file.encode() if made["data"] is None else made["data"]
        return data
    directory = base.study.contents_directory
    if directory is None:
        raise FileGone(f"{record.filename} is kept on another host")
    path = place(directory, made["digest"])
    if not path.is_file() or path.stat().st_size != made["size"]:
        raise FileGone(
            f"what {record.filename} contains is not in {path} any more",
            hint="restore it from a backup, or have the run take the present file: `motoko retry`",
        )
    return path


class Requirements:
    """The file that lists the packages that are installed here; they are listed once."""

    def __init__(self, base: StudyBase) -> None:
        self._base = base
        self._file: ConfFile | None = None

    @property
    def id(self) -> str:
        """The file's id in the database, which keeps the file from now on."""
        if self._file is None:
            installed = importlib.metadata.distributions()
            lines = sorted(f"{file.metadata['Name']}=={file.version}" for file in installed)
            self._file = ConfFile("requirements.txt", content="\n".join(lines))
        number = str(self._file.id)
        if number not in self._base.configfiles:
            self._base.configfiles[number] = self._file
        return number
