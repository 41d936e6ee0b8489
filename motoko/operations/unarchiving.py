"""Making a workflow of an archive again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from motoko.config.database_files import DatabaseFiles
from motoko.config.workflow_format import FORMAT as LAYOUT
from motoko.errors import BadArchive, CannotWrite, ConfigError, NoRoom
from motoko.host.inner_paths import first_wrong, why_wrong
from motoko.host.sizes import shown
from motoko.operations.archive_file import ABOUT, CRATE, FOLDER, FORMAT, SUMS, About

_PART = 1 << 20
_LIST_MAX = 2 * 10**9  # bytes: a larger list of files is none
_LINK, _TYPE, _FILE = 0o120000, 0o170000, 0o100000
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
_DAMAGED = "get the file again, or another copy of it"


def unarchive(file: Path, directory: Path) -> About:
    """Write the workflow of an archive into a directory, which is new or empty.

    All checksums are checked first, those of files that are not unpacked, too. Returns what the
    archive says of itself.

    Raises ``BadArchive`` if it is none, is damaged, or a later version has written it; then, and
    for ``ConfigError``, ``NoRoom`` and ``CannotWrite``, the directory is as it was.
    """
    with _opened(file) as archive:
        members = _members(file, archive)
        about = _about(file, archive, members)
        sums = _sums(file, archive, members, about)
        _check_place(directory, members)
        try:
            _unpack(file, archive, sums, about, directory)
        except BadArchive:
            raise
        except _BROKEN as error:
            raise BadArchive(f"{file} is damaged: {error}", hint=_DAMAGED) from error
        except OSError as error:
            raise CannotWrite(
                f"{error.filename or directory}: {error.strerror or error}; nothing was unpacked"
            ) from error
    return about


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    if file.is_dir():
        raise ConfigError(f"{file} is a directory", hint="name the file: ZIP")
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise BadArchive(f"{file} is no archive: {error}", hint=_no_archive()) from error
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: there is no such file") from error
    with archive:
        yield archive


def _no_archive() -> str:
    return "`motoko archive` makes archives; a directory of backups is for `motoko restore`"


def _members(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files in an archive by name; raises ``BadArchive`` for names that lead elsewhere."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        kind = info.external_attr >> 16 & _TYPE
        if info.filename in members:
            wrong: str | None = "is there twice"
        elif kind == _LINK:
            wrong = "is a link"
        elif kind not in (0, _FILE):
            wrong = "is no file"
        else:
            wrong = why_wrong(info.filename)
        if wrong is None:
            members[info.filename] = info
        elif not info.is_dir():  # other programs may add directories
            raise BadArchive(
                f"{file}: {info.filename!r} {wrong}; nothing was unpacked",
                hint="this is not what Motoko has written",
            )
    if wrong := first_wrong(members, members):
        raise BadArchive(f"{file}: {wrong}", hint="this is not what Motoko has written")
    return members


def _about(file: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> About:
    if ABOUT not in members:
        raise BadArchive(f"{file} is no archive of a workflow", hint=_no_archive())
    try:
        content = _content(archive, members[ABOUT])
        versions = msgspec.json.decode(content, type=_Versions)
        if versions.format <= FORMAT and versions.layout <= LAYOUT:
            about = msgspec.json.decode(content, type=About)
            names = [about.workflow, *about.studies]
            if first_wrong(names) is None and not any("/" in name for name in names):
                return about
            raise ValueError("it names a study that none can be")
    except _BROKEN as error:
        raise BadArchive(f"{file}: {ABOUT} is damaged: {error}", hint=_DAMAGED) from error
    raise BadArchive(
        f"{file} was written by a later version of Motoko: {versions.motoko} (format "
        f"{versions.format}, layout {versions.layout}; this version knows {FORMAT} and {LAYOUT})",
        hint="install that version: `pip install -U motoko`",
    )


def _sums(
    file: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], about: About
) -> dict[str, str]:
    """The checksums of all files; raises ``BadArchive`` unless all of them have one."""
    try:
        content = _content(archive, members[SUMS]) if SUMS in members else b""
    except _BROKEN as error:
        raise BadArchive(f"{file}: {SUMS} is damaged: {error}", hint=_DAMAGED) from error
    if hashlib.sha256(content).hexdigest() != about.sums:
        raise BadArchive(f"{file}: {SUMS} is missing, or has been changed", hint=_DAMAGED)
    lines = (line.partition("  ") for line in content.decode(errors="replace").splitlines())
    sums = {name: checksum for checksum, _, name in lines}
    others = members.keys() - {ABOUT, SUMS}
    if wrong := sorted(sums.keys() ^ others):
        what = "is missing" if wrong[0] in sums else "does not belong there"
        raise BadArchive(f"{file}: {wrong[0]} {what}", hint=_DAMAGED)
    return sums


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _LIST_MAX:
        raise ValueError(f"it has {shown(info.file_size)}")
    return archive.read(info)


def _check_place(directory: Path, members: Mapping[str, zipfile.ZipInfo]) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        what = "is not empty" if directory.is_dir() else "is no directory"
        raise ConfigError(
            f"{directory} {what}; nothing was changed", hint="name a directory that is new"
        )
    above = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    needed = sum(info.file_size for name, info in members.items() if _is_unpacked(name))
    if needed > (free := shutil.disk_usage(above).free):
        raise NoRoom(
            f"{directory}: the workflow has {shown(needed)}, and {shown(free)} are free",
            hint="name a directory on another disk",
        )


def _is_unpacked(name: str) -> bool:
    return name != CRATE and not name.startswith(f"{FOLDER}/")


def _unpack(
    file: Path,
    archive: zipfile.ZipFile,
    sums: Mapping[str, str],
    about: About,
    directory: Path,
) -> None:
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".motoko-unarchive-", dir=directory))
    try:
        for name, checksum in sums.items():
            if _written(archive, name, place / name if _is_unpacked(name) else None) != checksum:
                raise BadArchive(
                    f"{file}: {name} is not as it was archived; nothing was unpacked",
                    hint=_DAMAGED,
                )
        for study, state in about.studies.items():
            if state.tid is not None:
                DatabaseFiles.of(place / study).blobs.mkdir(parents=True, exist_ok=True)
        # motoko.yaml comes last: without it the directory is no workflow.
        for path in sorted(place.iterdir(), key=lambda path: path.name == about.workflow):
            path.rename(directory / path.name)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise
    place.rmdir()


def _written(archive: zipfile.ZipFile, name: str, target: Path | None) -> str:
    """Write a file of an archive, or only read it; returns its checksum."""
    checksum = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(archive.open(name))
        writer = None
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            is_program = archive.getinfo(name).external_attr >> 16 & 0o100
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(target, flags, 0o777 if is_program else 0o666)
            writer = stack.enter_context(open(descriptor, "wb"))
        while part := source.read(_PART):
            checksum.update(part)
            if writer is not None:
                writer.write(part)
    return checksum.hexdigest()


class _Versions(msgspec.Struct):
    format: int
    layout: int
    motoko: str = "unknown"
