"""Liveness: finds daemons that run but do not work any more.

Cheap on purpose, since this is what an idle workflow costs: heartbeats, which arrive anyway, are
compared with the clock. Only ZEO servers, and a bus without any traffic, are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from motoko.config import daemon_kinds
from motoko.config.supervision import Supervision
from motoko.host.sizes import megabytes
from motoko.supervisor.crew import Crew
from motoko.supervisor.member import Member
from motoko.supervisor.probes import NoAnswer, figures, ping_bus, ping_zeo, rss_bytes
from motoko.supervisor.table import State

CHECK_S = 5.0
QUIET_BUS_S = 5.0  # after this long without any traffic the bus is asked
# A daemon that exceeds its limit again this soon after its restart needs that memory: it stays.
MEMORY_PAUSE_S = 300.0
# If we wake later than this, we did not run ourselves (frozen, or the machine is very busy).
LATE_S = 1.0


class Watchdog:
    """Looks after the daemons that are ready, and tells the crew which do not work as they should.

    ``bus_quiet_since`` returns when the bus last delivered anything.
    """

    def __init__(
        self,
        settings: Supervision,
        crew: Crew,
        bus_address: str,
        bus_quiet_since: Callable[[], float],
    ) -> None:
        self._silence = settings.silence
        self._max_rss = settings.max_rss
        self._members = crew.members
        self._hung = crew.hung
        self._too_big = crew.too_big
        self._bus_address = bus_address
        self._bus_quiet_since = bus_quiet_since
        self._loop = asyncio.get_running_loop()
        # Silence before this moment is not the daemons' fault.
        self._listening_since = self._loop.time()
        self._bus_answered = 0.0

    async def watch(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_beats())
            group.create_task(self._watch_servers_and_sizes())

    async def _watch_beats(self) -> None:
        while True:
            due = self._loop.time() + CHECK_S
            await asyncio.sleep(CHECK_S)
            if self._loop.time() > due + LATE_S:
                self._listening_since = self._loop.time()
            elif await self._bus_works():
                self._check_silence()

    def _check_silence(self) -> None:
        now = self._loop.time()
        for member in list(self._members.values()):
            since = max(member.heard, self._listening_since)
            if member.beats and member.entry.state is State.READY and now - since > self._silence:
                self._hung(member, f"no heartbeat for {self._silence:g} s")

    async def _bus_works(self) -> bool:
        """Whether a daemon's silence is its own fault; reports a bus that does not answer."""
        bus = self._members[daemon_kinds.BUS]
        if bus.entry.state is not State.READY:
            self._listening_since = self._loop.time()
            return False
        started = self._loop.time()
        # Silence from before the bus became ready does not count.
        self._listening_since = max(self._listening_since, bus.heard)
        if started - max(self._bus_quiet_since(), self._bus_answered, bus.heard) <= QUIET_BUS_S:
            return True
        child = bus.child
        answered = await ping_bus(self._bus_address, self._silence - QUIET_BUS_S)
        now = self._loop.time()
        if answered:
            self._bus_answered = now
        elif bus.child is child:
            self._hung(bus, f"no answer for {self._silence:g} s")
        if not answered or now - started > LATE_S:
            self._listening_since = now
            return False
        return True

    async def _watch_servers_and_sizes(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            self._check_memory()
            servers = [
                member
                for member in self._members.values()
                if member.spec.kind == daemon_kinds.ZEO and member.entry.state is State.READY
            ]
            await asyncio.gather(*map(self._check_server, servers))

    async def _check_server(self, member: Member) -> None:
        child, started = member.child, self._loop.time()
        assert member.socket is not None  # it is a ZEO server
        try:
            member.detail, member.counts = figures(await ping_zeo(member.socket, self._silence))
        except NoAnswer:
            took = self._loop.time() - started
            # A server that is being restarted has another process by now, or refuses at once.
            if member.child is child and self._silence <= took <= self._silence + LATE_S:
                self._hung(member, f"no answer for {self._silence:g} s")

    def _check_memory(self) -> None:
        now = self._loop.time()
        for member in list(self._members.values()):
            limit, child = self._max_rss.get(member.spec.kind), member.child
            if limit is None or child is None or member.entry.state is not State.READY:
                continue
            size = rss_bytes(child.identity.pid) or 0
            if size > limit and (not member.shrunk or now - member.shrunk > MEMORY_PAUSE_S):
                member.shrunk = now
                self._too_big(member, f"used {megabytes(size)} (max_rss: {megabytes(limit)})")
