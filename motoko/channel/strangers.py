"""Connections that are turned away: each reason is logged once per address."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

AGAIN_S = 86_400.0  # the same is logged again after a day
_KEPT = 1_000  # how many pairs of address and reason are remembered


class Strangers:
    """Counts the connections that were turned away, and logs the first of each kind."""

    def __init__(self) -> None:
        self.count = 0
        self._logged: dict[tuple[str, str], float] = {}
        self._full_since = 0.0

    def note(self, address: str, reason: str) -> None:
        """Note that a connection from an address was turned away. There are only a few reasons."""
        self.count += 1
        key, now = (address, reason), time.monotonic()
        if now < self._logged.get(key, -AGAIN_S) + AGAIN_S:
            return
        if len(self._logged) >= _KEPT:
            old = {key: at for key, at in self._logged.items() if now < at + AGAIN_S}
            self._logged = old
            if len(old) >= _KEPT:
                if now > self._full_since + AGAIN_S or not self._full_since:
                    self._full_since = now
                    log.warning("too many addresses: further ones are turned away unlogged")
                return
        self._logged[key] = now
        log.warning("turned away from %s: %s (logged once)", address, reason)
