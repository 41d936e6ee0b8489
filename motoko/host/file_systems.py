"""Tells which files other hosts see, too."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

# File systems of one kernel: a process that sees a file there sees its locks, too.
_OF_ONE_HOST = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay")
)
_MOUNTS = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """The kind of a mounted file system, such as ``nfs4``, and its options, with the server's."""

    kind: str
    options: frozenset[str]


def is_shared(path: Path, mounts: str | None = None) -> bool:
    """Whether other hosts may see what is at a path; also true if that is not known.

    Args:
        path: the path of an existing file or directory.
        mounts: the text of /proc/self/mountinfo, by default its present content.
    """
    return mount_of(path, mounts).kind not in _OF_ONE_HOST


def mount_of(path: Path, mounts: str | None = None) -> Mount:
    """The mount of a path; both fields empty if it is not known. Arguments as :func:`is_shared`."""
    try:
        text = _MOUNTS.read_text() if mounts is None else mounts
    except OSError:
        text = ""
    place, longest, mount = os.path.realpath(path), "", Mount("", frozenset())
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        point, own = (*fields.split(), "")[4:6]
        point = _unescaped(point)
        covers = place == point or place.startswith(f"{point.rstrip('/')}/")
        if covers and len(point) >= len(longest):  # of several mounts at one point the last counts
            kind, *more = rest.split()
            longest, mount = point, Mount(kind, frozenset(",".join([own, *more[-1:]]).split(",")))
    return mount


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
