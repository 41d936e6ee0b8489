"""Which files other hosts see as well."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Those of one kernel: whoever sees a file there has its locks, too.
_OF_ONE_HOST = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay")
)
_MOUNTS = Path("/proc/self/mountinfo")


def is_shared(path: Path, mounts: str | None = None) -> bool:
    """Whether other hosts may see what is at a path; also where that is not known.

    Args:
        path: of something that is there.
        mounts: the text of /proc/self/mountinfo, by default as it is now.
    """
    try:
        text = _MOUNTS.read_text() if mounts is None else mounts
    except OSError:
        return True
    place, longest, kind = os.path.realpath(path), "", ""
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        point = _unescaped(fields.split()[4])
        covers = place == point or place.startswith(f"{point.rstrip('/')}/")
        if covers and len(point) >= len(longest):  # of several at one place, the last one counts
            longest, kind = point, rest.partition(" ")[0]
    return kind not in _OF_ONE_HOST


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
