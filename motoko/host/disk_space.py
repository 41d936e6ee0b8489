"""How much space files take on a disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_BLOCK = 512  # bytes: the unit of st_blocks, whatever the file system


def used(*paths: Path) -> int:
    """The bytes that files take on the disk, directories with all that is in them.

    What cannot be read, or is gone, counts nothing.
    """
    return sum(_used(os.fspath(path)) for path in paths)


def _used(path: str) -> int:
    total = 0
    with contextlib.suppress(OSError):
        total = os.lstat(path).st_blocks * _BLOCK
    waiting = [path]
    while waiting:
        for entry in _entries(waiting.pop()):
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return total


def _entries(directory: str) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:  # no directory
        return []
