"""How many processes the kernel has killed because memory ran out."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

_RECENT_S = 1.0  # the kernel takes 0.05 ms to answer, which each short run would pay for


class OomKills:
    """The kernel's count of such processes on this machine, since it was booted."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._at = -math.inf

    def now(self) -> int | None:
        """The count, if the kernel tells it."""
        try:
            text = Path("/proc/vmstat").read_bytes()
        except OSError:
            return None
        line = re.search(rb"^oom_kill (\d+)$", text, re.MULTILINE)
        return int(line[1]) if line else None

    def lately(self) -> int | None:
        """The count now, or up to a second ago."""
        now = time.monotonic()
        if now > self._at + _RECENT_S:
            self._count, self._at = self.now(), now
        return self._count
