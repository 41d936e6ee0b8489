"""Which files other hosts see as well."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

# Those of one kernel: whoever sees a file there has its locks, too.
_OF_ONE_HOST = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay")
)
_MOUNTS = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """What is mounted: ``nfs4`` for instance, and with which options, the server's included."""

    kind: str
    options: frozenset[str]


def is_shared(path: Path, mounts: str | None = None) -> bool:
    """Whether other hosts may see what is at a path; also where that is not known.

    Args:
        path: of something that is there.
        mounts: the text of /proc/self/mountinfo, by default as it is now.
    """
    return mount_of(path, mounts).kind not in _OF_ONE_HOST


def mount_of(path: Path, mounts: str | None = None) -> Mount:
    """What a path is on; both empty where that is not known. Arguments as :func:`is_shared`."""
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
        if covers and len(point) >= len(longest):  # of several at one place, the last one counts
            kind, *more = rest.split()
            longest, mount = point, Mount(kind, frozenset(",".join([own, *more[-1:]]).split(",")))
    return mount


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
