"""The file that ``motoko archive`` writes: a zip file with checksums, and what it says of itself.

motoko.yaml, STUDY/..., .wf/   the workflow, as it is unpacked
ro-crate-metadata.json         what is in the file, for people and other programs (an RO-Crate)
motoko-archive/                what was made for the archive: tables, report, graph ...
motoko-archive/SHA256SUMS      the checksums of all of this, as sha256sum reads them
motoko-archive/archive.json    what ``motoko unarchive`` has to know
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Self

import msgspec

from motoko.errors import SecretInArchive
from motoko.host.inner_paths import why_wrong
from motoko.host.text_search import TextSearch

FORMAT = 1
FOLDER = "motoko-archive"
ABOUT = f"{FOLDER}/archive.json"
SUMS = f"{FOLDER}/SHA256SUMS"
CRATE = "ro-crate-metadata.json"
NAMED = 1_000  # of the files that are left out, at most these are named
_PART = 1 << 20
_LARGE = 1 << 30  # bytes: a file that may grow beyond what a plain zip file can hold
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that zip files know: when a file was copied is no fact
_PACKED = frozenset(
    {".parquet", ".gz", ".bz2", ".xz", ".zst", ".zip", ".npz", ".png", ".jpg", ".jpeg", ".mp4"}
)


class ArchivedStudy(msgspec.Struct, frozen=True):
    """A study in an archive.

    Attributes:
        tid: the last transaction of its database (hexadecimal); ``None`` if that is not there.
        reason: why its database is not there.
    """

    tid: str | None = None
    reason: str = ""


class About(msgspec.Struct, frozen=True):
    """The content of archive.json.

    Attributes:
        format: the version of the archive's layout.
        motoko: the version of Motoko that has written it.
        layout: the version of the workflow's layout, as in ``.wf/format``.
        name: the name of the workflow's directory.
        workflow: the name of its file, motoko.yaml as a rule.
        written: when (ISO, UTC).
        studies: all of the workflow's studies, by name.
        outputs: which files of run directories were wanted.
        variables: the variables of ``environment:`` whose values are left out.
        left_out: files that are not there, and why; at most ``NAMED``.
        left_out_count: how many these are.
        sums: the checksum (SHA-256) of the file SHA256SUMS.
    """

    format: int
    motoko: str
    layout: int
    name: str
    workflow: str
    written: str
    studies: dict[str, ArchivedStudy]
    outputs: list[str] = []
    variables: list[str] = []
    left_out: list[tuple[str, str]] = []
    left_out_count: int = 0
    sums: str = ""


class Member(NamedTuple):
    """A file in an archive: its size in bytes, and its checksum (SHA-256)."""

    size: int
    sha256: str


class ArchiveWriter:
    """Writes an archive, file by file; nothing of a file is kept in memory.

    Attributes:
        members: the files, by name.
        size: the bytes of all files.
        left_out: the first of the files that could not be archived, and why.
        left_out_count: how many these are.

    Args:
        file: where it is written.
        secrets: what must not be in the archive, and what each of these texts is.
        tell: is called after each file.
    """

    def __init__(
        self,
        file: BinaryIO,
        secrets: Mapping[str, str],
        tell: Callable[[ArchiveWriter], None] = lambda writer: None,
    ) -> None:
        self.members: dict[str, Member] = {}
        self.size = 0
        self.left_out: list[tuple[str, str]] = []
        self.left_out_count = 0
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._search = TextSearch(secrets)
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            self._zip.close()
        except OSError:
            if kind is None:
                raise

    def add_text(self, name: str, text: str) -> Member:
        """Add a file with a text."""
        return self._add(name, io.BytesIO(text.encode(errors="replace")), 0o644, 0)

    def add(self, name: str, path: Path, *, follows: bool = True) -> None:
        """Add a file under a name; what cannot be archived is noted as left out.

        Args:
            name: the name in the archive, with slashes.
            path: the file.
            follows: whether the file behind a symbolic link is archived.
        """
        if (why := why_no_name(name)) is not None:
            self.leave_out(name, why)
            return
        if name in self.members:
            return
        try:
            if not follows and path.is_symlink():
                self.leave_out(name, f"it is a link to {path.readlink()}")
                return
            # A pipe would wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.leave_out(name, error.strerror or str(error))
            return
        with open(descriptor, "rb", buffering=0) as source:
            info = os.fstat(source.fileno())
            if stat.S_ISREG(info.st_mode):
                self._add(name, source, info.st_mode, info.st_size)
            else:
                self.leave_out(name, "it is no regular file")

    def leave_out(self, name: str, why: str) -> None:
        """Note that a file is not in the archive."""
        self.left_out_count += 1
        if len(self.left_out) < NAMED:
            self.left_out.append((name.encode(errors="replace").decode(), why))

    def complete(self, about: About) -> None:
        """Write the checksums, and what the archive says of itself; it is complete then."""
        lines = (f"{member.sha256}  {name}\n" for name, member in sorted(self.members.items()))
        sums = self.add_text(SUMS, "".join(lines)).sha256
        about = msgspec.structs.replace(
            about, left_out=self.left_out, left_out_count=self.left_out_count, sums=sums
        )
        self.add_text(ABOUT, msgspec.json.format(msgspec.json.encode(about)).decode() + "\n")

    def _add(self, name: str, source: BinaryIO | io.FileIO, mode: int, size: int) -> Member:
        info = zipfile.ZipInfo(name, _TIME)
        is_packed = PurePosixPath(name).suffix.lower() in _PACKED
        info.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
        info.create_system = 3  # with Unix's permissions
        info.external_attr = (stat.S_IFREG | (0o755 if mode & 0o100 else 0o644)) << 16
        checksum, written = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=size > _LARGE) as member:
            for part in self._checked(name, source):
                member.write(part)
                checksum.update(part)
                written += len(part)
        self.members[name] = Member(written, checksum.hexdigest())
        self.size += written
        self._tell(self)
        return self.members[name]

    def _checked(self, name: str, source: BinaryIO | io.FileIO) -> Iterator[bytes]:
        """The content of a file, as far as it can be read; raises ``SecretInArchive``."""
        parts = iter(partial(self._part, name, source), b"")
        for part, secret in self._search.through(parts, name.encode() + b"\n"):
            if secret is not None:
                raise SecretInArchive(
                    f"{name} holds a secret: the value of {secret}; nothing was written",
                    hint="remove it there; or, if it is no secret, list the variable's name "
                    "in motoko.yaml: `archive: {environment: [NAME]}`",
                )
            yield part

    def _part(self, name: str, source: BinaryIO | io.FileIO) -> bytes:
        try:
            return source.read(_PART) or b""
        except OSError as error:
            self.leave_out(name, f"only its beginning could be read: {error.strerror or error}")
            return b""


def why_no_name(name: str) -> str | None:
    """Why a file cannot have a name in an archive; ``None`` if it can."""
    if (why := why_wrong(name)) is not None:
        return f"its name {why}"
    if "\\" in name or not name.isprintable():
        return "its name has characters that not all systems allow"
    return None
