"""Writing new files for a user: nothing is overwritten."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from motoko.errors import ConfigError

_GIT_IGNORE = ".gitignore"


def write_new(directory: Path, files: Mapping[str, str]) -> list[str]:
    """Write files into a directory, which is created if missing; returns the files' names.

    An existing .gitignore is kept.

    Args:
        directory: the directory.
        files: the files' texts by their paths in it, in the order in which they are written.

    Raises ``ConfigError``, before anything is written, if any other of the files exists already.
    """
    wanted = {
        name: text
        for name, text in files.items()
        if name != _GIT_IGNORE or not _is_there(directory / name)
    }
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory}: is not a directory", hint="name another one")
    taken = [name for name in wanted if _is_there(directory / name)]
    if taken:
        raise ConfigError(
            f"{directory}: there already: {', '.join(taken)}; nothing was written",
            hint="name another directory, or move these files away",
        )
    for name, text in wanted.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    return [*wanted]


def undo(directory: Path, names: Sequence[str]) -> None:
    """Remove files that :func:`write_new` has written, and directories that are empty then."""
    for name in names:
        (directory / name).unlink(missing_ok=True)
    for parent in {(directory / name).parent for name in names} - {directory}:
        with contextlib.suppress(OSError):  # the directory contains other files
            parent.rmdir()


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
