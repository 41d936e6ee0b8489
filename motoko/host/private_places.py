"""Checks that other accounts cannot tamper with directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_private(path: Path) -> bool:
    """Whether a directory is this account's alone (not a link, nor made by another account)."""
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077


def keeps_names(path: Path) -> bool:
    """Whether no other account (but root) can replace a directory of ours in this one."""
    link, info = path.lstat(), path.stat()
    others_write = info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
    return not others_write and {link.st_uid, info.st_uid} <= {0, os.getuid()}
