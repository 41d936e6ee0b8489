"""Directories that others cannot tamper with."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_private(path: Path) -> bool:
    """Whether a directory is ours alone (not a link, nor somebody else's squatting the name)."""
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077


def keeps_names(path: Path) -> bool:
    """Whether nobody else (but root) can put another directory in the place of one of ours."""
    link, info = path.lstat(), path.stat()
    others_write = info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
    return not others_write and {link.st_uid, info.st_uid} <= {0, os.getuid()}
