"""The identity of directories.

A path alone does not identify a directory: it may be moved, and another one put in its place. Nor
do the files in it: those of a copy still name the original. Device and inode identify it, together
with the path that it had.
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
        device: the number of its file system, which holds until the next boot.
        inode: its number in that file system.
        path: where it was, symbolic links resolved.
        boot_id: the boot for which the device's number holds.
    """

    device: int
    inode: int
    path: str
    boot_id: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The identity of a directory; ``OSError`` if it does not exist."""
        info = path.stat()
        text = os.fsencode(path.resolve()).decode(errors="replace")
        return cls(info.st_dev, info.st_ino, text, boot_id())

    @classmethod
    def from_dict(cls, data: Any) -> Self | None:
        """The inverse of :meth:`to_dict`; ``None`` for anything else."""
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
        """Whether this is the directory that is at a path now."""
        try:
            return self.is_same(DirectoryIdentity.of(path))
        except OSError:
            return False
