"""Readiness checks for the daemons that do not announce over the bus that they are ready.

``Readiness`` has the table of the kinds that have a check of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from motoko.config.daemon_kinds import BUS, ORCHESTRATOR, RELAY, ZEO
from motoko.control.daemon_records import recorded_identity
from motoko.layout import Runtime
from motoko.supervisor.child import Child
from motoko.supervisor.detached_members import Detached
from motoko.supervisor.member import Member
from motoko.supervisor.probes import NoAnswer, figures, ping_bus, ping_zeo
from motoko.supervisor.table import State

START_POLL_S = 0.05
ZEO_ANSWER_S = 5.0


class Readiness:
    """Finds out when a daemon is ready.

    Args:
        bus_s: how long the bus has to answer.
        ready: called with a daemon when it is ready.
    """

    def __init__(
        self,
        runtime: Runtime,
        detached: Detached,
        bus_s: float,
        ready: Callable[[Member], None],
    ) -> None:
        self._runtime = runtime
        self._detached = detached
        self._bus_s = bus_s
        self._ready = ready
        self._checks: dict[str, Callable[[Member, Child], Coroutine[Any, Any, None]]] = {
            ORCHESTRATOR: self._registered,
            ZEO: self._server_answers,
            BUS: self._bus_answers,
            RELAY: self._relay_accepts,
        }

    def awaited(
        self, member: Member, child: Child, *, adopted: bool
    ) -> Coroutine[Any, Any, None] | None:
        """The check for a daemon that has been started; ``None`` if it announces it itself."""
        if member.beats:
            return None
        if member.spec.kind == BUS and not adopted:
            # The supervisor's own subscriber notices a new bus. It may have connected to an adopted
            # bus before the crew adopted it, so that one is asked.
            return None
        return self._checks.get(member.spec.kind, self._has_record)(member, child)

    async def _has_record(self, member: Member, child: Child) -> None:
        record = self._runtime.record(member.name)
        while member.child is child and member.entry.state is State.STARTING:
            if recorded_identity(self._runtime, record) == child.identity:
                self._ready(member)
                return
            await asyncio.sleep(START_POLL_S)

    async def _server_answers(self, member: Member, child: Child) -> None:
        assert member.socket is not None  # it is a ZEO server
        while member.child is child and member.entry.state is State.STARTING:
            try:
                answer = figures(await ping_zeo(member.socket, ZEO_ANSWER_S))
            except NoAnswer:
                await asyncio.sleep(START_POLL_S)
            else:
                if member.child is child:
                    member.detail, member.counts = answer
                    self._ready(member)

    async def _relay_accepts(self, member: Member, child: Child) -> None:
        assert member.spec.study is not None
        path = self._runtime.kept(member.spec.study)
        while member.child is child and member.entry.state is State.STARTING:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(START_POLL_S)
            else:
                writer.close()
                if member.child is child:
                    self._ready(member)

    async def _registered(self, member: Member, child: Child) -> None:
        registered = asyncio.ensure_future(self._detached.registration(child))
        await asyncio.wait([registered, child.ended], return_when=asyncio.FIRST_COMPLETED)
        if not registered.cancel() and member.child is child:
            self._ready(member)

    async def _bus_answers(self, member: Member, child: Child) -> None:
        answered = await ping_bus(self._runtime.bus_subscribe, self._bus_s)
        if answered and member.child is child:
            self._ready(member)
