"""The contents of large files, kept beside a study's database: each once, by its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from motoko.runs.placeholders import PREFIX

# Larger files are kept beside the database, whose records are read and written as a whole.
LARGE = 64_000
_PART = 10**6


@dataclass(frozen=True)
class Content:
    """The content of a file.

    Attributes:
        digest: its SHA-256.
        size: in bytes.
        is_template: whether it is a text with placeholders.
    """

    digest: str
    size: int
    is_template: bool


def place(directory: Path, digest: str) -> Path:
    """The file that holds a content, if it is kept."""
    return directory / digest


def looked_at(path: Path) -> Content:
    """The content of a file, read anew. Raises ``OSError``."""
    with open(path, "rb") as file:
        return _read(file, None)


def keep(path: Path, directory: Path, *, locked: bool) -> Content:
    """Keep the content of a file; returns it. Raises ``OSError``.

    ``locked`` is as for :func:`use`.
    """
    content = looked_at(path)
    if use(directory, content, locked=locked):
        return content
    directory.mkdir(exist_ok=True)
    temporary = directory / f".{os.getpid()}-{secrets.token_hex(4)}"
    try:
        # Users who may not read the file must not read it here.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(path, "rb") as source, open(descriptor, "wb") as target:
            content = _read(source, target)  # it may have changed meanwhile
            os.fchmod(target.fileno(), 0o600 | os.fstat(source.fileno()).st_mode & 0o444)
            target.flush()
            os.fsync(target.fileno())  # the database will refer to it
        os.utime(temporary, (0, 0) if locked else None)
        temporary.replace(place(directory, content.digest))
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return content


def use(directory: Path, content: Content, *, locked: bool) -> bool:
    """Whether a content is kept. If so, it is not dropped before the caller can refer to it.

    Args:
        directory: where contents are kept.
        content: the content.
        locked: whether the caller holds the study's lock until it has committed a reference to the
            content; otherwise the content is marked as used now.
    """
    path = place(directory, content.digest)
    try:
        if path.stat().st_size != content.size:
            return False
        if not locked:
            os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _read(source: BinaryIO, target: BinaryIO | None) -> Content:
    digest, size = hashlib.sha256(), 0
    has_prefix = is_binary = False
    tail = b""
    for part in _parts(source):
        digest.update(part)
        size += len(part)
        is_binary = is_binary or b"\0" in part
        has_prefix = has_prefix or PREFIX in tail + part
        tail = part[-len(PREFIX) :]
        if target is not None:
            target.write(part)
    return Content(digest.hexdigest(), size, has_prefix and not is_binary)


def _parts(source: BinaryIO) -> Iterator[bytes]:
    while part := source.read(_PART):
        yield part
