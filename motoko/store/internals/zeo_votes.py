"""Into ZEO's server: keeping clients of other hosts from committing any more."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ZEO.runzeo import ZEOServer
from ZEO.StorageServer import ZEOStorage
from ZODB.POSException import StorageError

from motoko.channel.greeting import Greeting
from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_arrivals import greeting_of

_STORAGE = "ZEO.StorageServer:ZEOStorage"
_SERVER = "ZEO.StorageServer:StorageServer"
relies_on(
    "ZEO",
    Need(_STORAGE, "_vote", ("self", "delay")),
    Need(_STORAGE, "_clear_transaction", ("self",)),
    Need(_STORAGE, "connected", set_by="notify_connected"),
    Need(_SERVER, "zeo_storages_by_storage_id", set_by="__init__"),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "sm_protocol", set_by="connection_made"),
    Need("ZEO.asyncio.server:ServerProtocol", "connection_lost", ("self", "exc")),
)

Refusal = Callable[[Greeting], str | None]


def when_voting(refusal: Refusal) -> None:
    """Have this process's server ask whether a client of another host may commit.

    It asks while the client has the commit lock. So a process that fences a client, and then
    commits itself, sees all that the client committed before. ``refusal`` returns the reason,
    which the client's commit raises as a ``StorageError``, or ``None``.
    """
    vote = ZEOStorage._vote

    def asking(storage: Any, *arguments: Any) -> Any:
        greeting = greeting_of(storage) if storage.connected else None
        if greeting is not None and (reason := refusal(greeting)) is not None:
            storage._clear_transaction()
            raise StorageError(reason)
        return vote(storage, *arguments)

    asking.__wrapped__ = vote  # type: ignore[attr-defined]
    ZEOStorage._vote = asking


def greetings(server: ZEOServer) -> list[Greeting]:
    """The greetings of a server's present clients of other hosts."""
    return [greeting for _, greeting in _clients(server)]


def cut(server: ZEOServer, refusal: Refusal) -> list[tuple[Greeting, str]]:
    """Disconnect clients that a server must no longer serve; returns their greetings and why."""
    refused = []
    for storage, greeting in _clients(server):
        if (reason := refusal(greeting)) is not None:
            refused.append((greeting, reason))
            # Not by ZEO's close(): that would keep the client's locks.
            storage.connection.sm_protocol.transport.abort()
    return refused


def _clients(server: ZEOServer) -> list[tuple[Any, Greeting]]:
    connected = server.server.zeo_storages_by_storage_id.values()
    storages = itertools.chain.from_iterable(connected)
    return [(storage, greeting) for storage in storages if (greeting := greeting_of(storage))]
