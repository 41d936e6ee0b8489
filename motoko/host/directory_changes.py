"""Tells cheaply whether a directory must be looked through again."""

from __future__ import annotations

import time
from pathlib import Path

# Longer than one tick of a file system's clock.
SETTLED_S = 2.0


class DirectoryChanges:
    """Watches a directory's modification time. It does not matter which clock has set it.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = -1
        self._since = 0.0
        self._is_settled = False

    def are_due(self) -> bool:
        """Whether files may have come since the caller last looked. If so, the caller looks now.

        More files may come within the same tick of the file system's clock, so a look is due once
        more, later. Raises ``OSError``.
        """
        changed, now = self._path.stat().st_mtime_ns, time.monotonic()
        if changed != self._changed:
            self._changed, self._since, self._is_settled = changed, now, False
            return True
        if self._is_settled:
            return False
        self._is_settled = now - self._since >= SETTLED_S
        return True
