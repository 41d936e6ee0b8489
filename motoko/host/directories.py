"""Directories: which one is which.

A path alone does not say which: a directory is moved, another is put in its place. What a copy
holds says of itself that it is the original's. Device and inode say it, with the path that it had.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from motoko.host.proc_files import boot_id


@dataclass(frozen=True)
class DirectoryIdentity:
    """One directory.

    Attributes:
        device: of its file system; the number holds until the host is started again.
        inode: its number there.
        path: where it was, symbolic links resolved.
        boot_id: since when the device's number holds.
    """

    device: int
    inode: int
    path: str
    boot_id: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The identity of a directory; ``OSError`` if it is not there."""
        info = path.stat()
        text = os.fsencode(path.resolve()).decode(errors="replace")
        return cls(info.st_dev, info.st_ino, text, boot_id())

    @classmethod
    def from_dict(cls, data: Any) -> Self | None:
        """The inverse of :meth:`to_dict`; ``None`` for what is no such thing."""
        try:
            return cls(
                int(data["device"]), int(data["inode"]), str(data["path"]), str(data["boot_id"])
            )
        except (KeyError, TypeError, ValueError):
            return None

    def to_dict(self) -> dict[str, Any]:
        """As a mapping that JSON can hold."""
        return asdict(self)

    def is_same(self, other: DirectoryIdentity) -> bool:
        """Whether both are one directory, which may have been moved in between."""
        same_boot = self.boot_id == other.boot_id
        return self.inode == other.inode and (self.device == other.device or not same_boot)

    def is_at(self, path: Path) -> bool:
        """Whether it is the directory that is at a path now."""
        try:
            return self.is_same(DirectoryIdentity.of(path))
        except OSError:
            return False
