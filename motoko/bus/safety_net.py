"""The safety net of a study's subscriber: whether the bus has missed something. Pure.

A study's server tells the process's own connection of each transaction, too. A transaction that the
bus does not know some time later was lost on the way; one that is newer may still be on its way.
"""

from __future__ import annotations

NET_S = 2.0  # how long a transaction may be on its way
SILENT_S = 6.0  # three beats


class SafetyNet:
    """What is known of one study.

    Args:
        now: the time (seconds, monotonic), as everywhere in here.

    Attributes:
        heard: when something was last heard of the study.
        is_silent: whether that is so long ago, while there were transactions, that no watcher seems
            to be there.
    """

    def __init__(self, now: float) -> None:
        self.heard = now
        self.is_silent = False
        self._ahead: tuple[str, float] | None = None  # the own tid, and when it was ahead

    def hears(self, now: float) -> None:
        """Something was heard of the study."""
        self.heard, self.is_silent = now, False

    def has_caught(self, own: str, tid: str, now: float) -> bool:
        """Whether the bus has missed a transaction; to be asked about every ``NET_S``.

        Args:
            own: the newest transaction that the server has announced (hexadecimal).
            tid: the newest that the bus has.
        """
        before, self._ahead = self._ahead, None
        if own <= tid:
            return False
        self.is_silent = now - self.heard > SILENT_S
        if self.is_silent:
            return True
        if before is None or before[0] <= tid:  # what was on its way then has come
            self._ahead = own, now
            return False
        if now - before[1] < NET_S - 0.1:
            self._ahead = before
            return False
        return True
