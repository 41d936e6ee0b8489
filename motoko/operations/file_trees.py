"""Copies of directories; files that have not changed since an earlier copy are links to that."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

_CHUNK = 1 << 20


class FileFacts(msgspec.Struct, frozen=True):
    """A file in a copy. ``target``: where a symbolic link leads; it has no other facts."""

    size: int = 0
    mtime_ns: int = 0
    mode: int = 0
    sha256: str = ""
    target: str = ""


def copy_tree(
    source: Path,
    place: Path,
    leaves_out: Callable[[Path], bool],
    before: Mapping[str, FileFacts],
    earlier: Path | None,
) -> dict[str, FileFacts]:
    """Copy the files below a directory into a new one; returns them by their relative paths.

    Files that vanish meanwhile, sockets and pipes are left out.

    Args:
        source: the directory.
        place: the new directory.
        leaves_out: whether a directory or file (an absolute path) is left out.
        before: the files of an earlier copy.
        earlier: where that is; ``None`` if there is none.
    """
    place.mkdir(parents=True)
    facts: dict[str, FileFacts] = {}
    for path in _files(source, leaves_out):
        name = path.relative_to(source).as_posix()
        (target := place / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            facts[name] = _copied(path, target, before.get(name), earlier and earlier / name)
    return facts


def _files(directory: Path, leaves_out: Callable[[Path], bool]) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        here = Path(root)
        folders[:] = [name for name in folders if not leaves_out(here / name)]
        links = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in (*names, *links) if not leaves_out(here / name))


def _copied(path: Path, target: Path, known: FileFacts | None, earlier: Path | None) -> FileFacts:
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        target.symlink_to(path.readlink())
        return FileFacts(target=str(path.readlink()))
    if not stat.S_ISREG(info.st_mode):
        raise FileNotFoundError  # a socket or a pipe: left out
    facts = FileFacts(info.st_size, info.st_mtime_ns, stat.S_IMODE(info.st_mode))
    if known is not None and earlier is not None:
        same = (known.size, known.mtime_ns, known.mode) == (facts.size, facts.mtime_ns, facts.mode)
        if same:
            with contextlib.suppress(OSError):  # gone, or the file system has no such links
                os.link(earlier, target, follow_symlinks=False)
                return known
    size, digest = _written(path, target)
    shutil.copystat(path, target)
    return msgspec.structs.replace(facts, size=size, sha256=digest)


def _written(path: Path, target: Path) -> tuple[int, str]:
    checksum, size = hashlib.sha256(), 0
    with open(path, "rb") as reader, open(target, "wb") as writer:
        while chunk := reader.read(_CHUNK):
            writer.write(chunk)
            checksum.update(chunk)
            size += len(chunk)
    return size, checksum.hexdigest()


def wrong_files(place: Path, facts: Mapping[str, FileFacts]) -> Iterator[str]:
    """What is wrong with the files of a copy, a line for each."""
    for name, known in facts.items():
        path = place / name
        try:
            if known.target:
                if str(path.readlink()) != known.target:
                    yield f"{path} leads elsewhere"
                continue
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != known.sha256:
                    yield f"{path} has changed"
        except OSError as error:
            yield f"{path}: {error.strerror}"


def put_files(place: Path, facts: Mapping[str, FileFacts], directory: Path) -> None:
    """Copy the files of a copy into a directory; files that are there already are replaced."""
    for name, known in facts.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if known.target:
            target.symlink_to(known.target)
        else:
            shutil.copy2(place / name, target)
