"""Keeps a tree of links in a directory of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from motoko.errors import CannotWrite, ConfigError

MARK = ".motoko-view"  # says that all links in the directory are Motoko's


@dataclass
class LinkChanges:
    """How many links were made, removed, and were right already."""

    made: int = 0
    removed: int = 0
    kept: int = 0


def keep(directory: Path, wanted: Mapping[PurePosixPath, Path]) -> LinkChanges:
    """Have a directory hold these links, and no others; returns what was done.

    Only links are removed, and directories that are empty then. Files of the user's stay.

    Args:
        directory: it is made if it is missing.
        wanted: by the path in the directory, what the link leads to.

    Raises ``ConfigError`` for a directory that has other contents, ``CannotWrite``.
    """
    changes = LinkChanges()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _claim(directory)
        # A link is followed from where the directory really is.
        directory = directory.resolve()
        places = {parent: parent.resolve() for parent in {path.parent for path in wanted.values()}}
        targets = {
            directory / path: os.path.relpath(
                places[target.parent] / target.name, (directory / path).parent
            )
            for path, target in wanted.items()
        }
        for link in [*_links(directory)]:
            if targets.get(link) == str(link.readlink()):
                changes.kept += 1
                del targets[link]
                continue
            link.unlink()
            changes.removed += 1
            _remove_empty(link.parent, directory)
        for link, target in targets.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
            changes.made += 1
    except OSError as error:
        raise CannotWrite(f"{directory}: a link cannot be made: {error}") from error
    return changes


def _claim(directory: Path) -> None:
    mark = directory / MARK
    if mark.exists():
        return
    if any(directory.iterdir()):
        raise ConfigError(
            f"{directory} has other files", hint="name a directory that does not exist yet"
        )
    mark.write_text("The links in this directory are made by `motoko view`, and removed by it.\n")


def _links(directory: Path) -> list[Path]:
    return [
        Path(place) / name
        for place, directories, files in os.walk(directory)
        for name in (*directories, *files)
        if (Path(place) / name).is_symlink()
    ]


def _remove_empty(directory: Path, top: Path) -> None:
    with contextlib.suppress(OSError):  # it is not empty
        while directory != top:
            directory.rmdir()
            directory = directory.parent
