"""Files that other processes read at any time: they are replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_STALE_TRIES = 3


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content: readers see the old or the new one, never a part."""
    _replace(path, text, durably=False)


def write_durably(path: Path, text: str) -> None:
    """As :func:`write_atomically`; the content also outlasts a power cut once this returns."""
    _replace(path, text, durably=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str, *, durably: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w") as file:
            file.write(text)
            if durably:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def kept_file(path: Path, text: str) -> Iterator[None]:
    """Keep a file with a given content as long as the block runs.

    A forked child that leaves the block does not remove the file, which is its parent's.
    """
    writer = os.getpid()
    write_atomically(path, text)
    try:
        yield
    finally:
        # A file that another process has written meanwhile, on whichever host, stays.
        if os.getpid() == writer and contents(path) in (None, text.encode()):
            path.unlink(missing_ok=True)


def contents(path: Path) -> bytes | None:
    """The content of a file, or ``None`` if there is no file.

    A file that another host replaces meanwhile (``ESTALE``) is opened again. Raises ``OSError`` if
    it cannot be read now (``EACCES``, ``EIO``): that says nothing about its content.
    """
    for _ in range(_STALE_TRIES):
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return path.read_bytes()


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, or ``None`` if there is none.

    Files that are missing, incomplete, not JSON, not an object or not text give ``None``. Raises
    ``OSError`` as :func:`contents` does.
    """
    text = contents(path)
    try:
        data = json.loads(text) if text is not None else None
    except ValueError:  # also for bytes that are no text
        return None
    return data if isinstance(data, dict) else None


def end_of(path: Path, size: int = 20_000) -> str:
    """The last bytes of a file as text; empty if it cannot be read, or does not exist."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
