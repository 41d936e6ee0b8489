"""What the processes that await runs say of themselves. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from motoko.bus.messages import OrchestratorStatus
from motoko.timing import HEARTBEAT_S

GONE_AFTER_S = 3.5 * HEARTBEAT_S


class Orchestrators:
    """The last word of each, and when it came."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, int], tuple[OrchestratorStatus, float]] = {}

    def heard(self, message: OrchestratorStatus, now: float) -> None:
        """One of them has said something at ``now`` (seconds)."""
        self._forget(now)
        if message.gone:
            self._heard.pop((message.host, message.pid), None)
        else:
            self._heard[message.host, message.pid] = (message, now)

    def status(self, now: float) -> list[dict[str, Any]]:
        """What the control socket tells: those that were heard of lately, by run_name."""
        self._forget(now)
        found = [msgspec.to_builtins(message) for message, _ in self._heard.values()]
        for each in found:
            del each["type"], each["gone"]
        return sorted(found, key=lambda each: (each["run_name"], each["pid"]))

    def _forget(self, now: float) -> None:
        for key, (_, at) in list(self._heard.items()):
            if now - at > GONE_AFTER_S:
                del self._heard[key]
