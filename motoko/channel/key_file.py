"""The file with the channel's key and certificate: its path, and a check that it is private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from motoko.errors import MotokoError

FILE_NAME = "key.pem"


class UnsafeKey(MotokoError):
    """The channel's key is missing or not a key, or another account could read it."""


def key_path(directory: Path) -> Path:
    """The file with key and certificate, in the channel's directory."""
    return directory / FILE_NAME


def check_private(path: Path) -> os.stat_result:
    """Raise ``UnsafeKey`` unless a key's file is this account's, and no other may read it."""
    try:
        info = path.stat()
    except FileNotFoundError as error:
        raise UnsafeKey(f"there is no {path}", hint="`motoko supervise` makes it") from error
    except OSError as error:
        raise UnsafeKey(f"{path} cannot be read: {error.strerror}") from error
    if info.st_uid != os.getuid():
        raise UnsafeKey(f"{path} belongs to another account (uid {info.st_uid})")
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise UnsafeKey(
            f"others may read {path} (mode {stat.S_IMODE(info.st_mode):o})",
            hint="`motoko keys renew` makes another key; this one is worthless then",
        )
    return info
