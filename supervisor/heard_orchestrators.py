"""What orchestrators say of themselves over the bus. Pure logic."""

from __future__ import annotations

from motoko.bus.messages import OrchestratorStatus
from motoko.control.protocol import OrchestratorInfo
from motoko.host.clock import HEARTBEAT_S

GONE_AFTER_S = 3.5 * HEARTBEAT_S


class Orchestrators:
    """The last message of each orchestrator, and when it came."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, int], tuple[OrchestratorStatus, float]] = {}

    def heard(self, message: OrchestratorStatus, now: float) -> None:
        """Take in a message that came at ``now`` (seconds)."""
        self._forget(now)
        if message.gone:
            self._heard.pop((message.host, message.pid), None)
        else:
            self._heard[message.host, message.pid] = (message, now)

    def status(self, now: float) -> list[OrchestratorInfo]:
        """For the control socket's status: the orchestrators heard of lately, by run_name."""
        self._forget(now)
        infos = [
            OrchestratorInfo(
                run_name=message.run_name,
                pid=message.pid,
                host=message.host,
                waiting=message.waiting,
                awaits=message.awaits,
                since=message.since,
                counts=message.counts,
                runs=message.runs,
            )
            for message, _ in self._heard.values()
        ]
        return sorted(infos, key=lambda info: (info.run_name, info.pid))

    def _forget(self, now: float) -> None:
        for key, (_, at) in list(self._heard.items()):
            if now - at > GONE_AFTER_S:
                del self._heard[key]
