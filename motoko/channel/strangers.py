"""Those who are turned away: each reason is logged once for an address, whatever they send."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

AGAIN_S = 86_400.0  # the same is logged again after a day
_KEPT = 1_000  # of addresses and reasons


class Strangers:
    """Counts who was turned away, and logs the first of a kind."""

    def __init__(self) -> None:
        self.count = 0
        self._logged: dict[tuple[str, str], float] = {}
        self._full_since = 0.0

    def note(self, address: str, reason: str) -> None:
        """Somebody at an address was turned away. The reason is one of few."""
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
                    log.warning("from now on turned away without a word: too many addresses")
                return
        self._logged[key] = now
        log.warning("turned away from %s: %s (logged once)", address, reason)
