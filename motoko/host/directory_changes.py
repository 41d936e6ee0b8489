"""Whether a directory is to be looked through again: asked often, by one call."""

from __future__ import annotations

import time
from pathlib import Path

# Longer than the clocks of file systems take from one tick to the next.
SETTLED_S = 2.0


class DirectoryChanges:
    """Watches what a directory's own time of change says. Which clock has set it does not matter.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = -1
        self._since = 0.0
        self._is_settled = False

    def are_due(self) -> bool:
        """Whether something may have come since the caller has looked last; he looks now.

        Within the same tick of the file system's clock more may come: it is due once more, later.
        Raises ``OSError``.
        """
        changed, now = self._path.stat().st_mtime_ns, time.monotonic()
        if changed != self._changed:
            self._changed, self._since, self._is_settled = changed, now, False
            return True
        if self._is_settled:
            return False
        self._is_settled = now - self._since >= SETTLED_S
        return True
