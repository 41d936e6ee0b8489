"""What large files contain, kept beside a study's database: each content once, by its checksum."""

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

# Larger files are kept here: the database's records are read and written as a whole.
LARGE = 64_000
_PART = 10**6


@dataclass(frozen=True)
class Content:
    """What a file contains.

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
    """What a file contains. Raises ``OSError``."""
    with open(path, "rb") as file:
        return _read(file, None)


def keep(path: Path, directory: Path, *, locked: bool) -> Content:
    """Keep what a file contains; returns what is kept. Raises ``OSError``.

    ``locked`` is as for :func:`use`.
    """
    content = looked_at(path)
    if use(directory, content, locked=locked):
        return content
    directory.mkdir(exist_ok=True)
    temporary = directory / f".{os.getpid()}-{secrets.token_hex(4)}"
    try:
        # Whoever may not read the file is not to read it here.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(path, "rb") as source, open(descriptor, "wb") as target:
            content = _read(source, target)  # it may have changed meanwhile
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
    """Whether a content is kept. If so, it is not dropped before whoever uses it has said so.

    Args:
        directory: where contents are kept.
        content: which.
        locked: whether the caller holds the study's lock until it has committed who refers to it;
            otherwise the content is marked as used now.
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
