"""Into ZEO's server: announcing transactions to its clients, with what they have written.

See :mod:`.zeo_written`. An announcement is encoded once, not once for each client, and each client
gets all of it at once. ZEO's own way also wakes the server's loop once for each message, as it must
from another thread: here it is in this thread already.

What a client does not read stays in the server's memory. So one that reads nothing any more, such
as a stopped process, is disconnected: a client of ZEO connects again when it goes on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from ZEO.StorageServer import ZEOStorage

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_messages import together
from motoko.store.internals.zeo_written import KEY, WANTS_RECORDS

_STORAGE = "ZEO.StorageServer:ZEOStorage"
_SERVER = "ZEO.StorageServer:StorageServer"
_BASE = "ZEO.asyncio.base:ZEOBaseProtocol"
relies_on(
    "ZEO",
    Need(_STORAGE, "set_client_label", ("self", "label")),
    Need(_STORAGE, "_invalidate", ("self", "tid")),
    Need(_STORAGE, "_store", ("self", "oid", "serial", "data", "blobfile")),
    Need(_STORAGE, "storage_id", set_by="register"),
    Need(_STORAGE, "serials", set_by="tpc_begin"),
    Need(_STORAGE, "connection", set_by="notify_connected"),
    Need(_STORAGE, "connected", set_by="notify_connected"),
    Need(_STORAGE, "log", ("self", "msg", "level")),
    Need(_STORAGE, "invalidated", set_by="tpc_begin"),
    Need(_SERVER, "invq", set_by="__init__"),
    Need(_SERVER, "invq_bound", set_by="__init__"),
    Need(_SERVER, "zeo_storages_by_storage_id", set_by="__init__"),
    Need(_BASE, "loop", set_by="__init__"),
    Need(_BASE, "sm_protocol", set_by="connection_made"),
    Need(_BASE, "write_message", set_by="connection_made"),
    Need(_BASE, "protocol_version"),
    Need("ZEO.asyncio.server:ServerProtocol", "encode", set_by="finish_connection"),
)

SENT_MAX = 4 << 20  # bytes of records: of a larger transaction, clients load what they need
UNREAD_MAX = 32 << 10  # bytes that a client has not read yet: one that is behind gets no records
BACKLOG_MAX = 64 << 20  # bytes of announcements that a client has left unread, all in all


# By server: the arguments of :func:`_announce`, in the order of the transactions.
_unannounced: WeakKeyDictionary[Any, deque[Any]] = WeakKeyDictionary()


class SendingClient(ZEOStorage):  # type: ignore[misc]  # ZEO has no types
    """The server's side of one client's connection; sends what others have written."""

    wants_records = False
    unread = 0  # bytes of the announcements since it had read all that it was sent

    def set_client_label(self, label: str) -> None:
        if label == WANTS_RECORDS:
            self.wants_records = True
        else:
            super().set_client_label(label)

    def tpc_begin(self, *args: Any, **options: Any) -> None:
        super().tpc_begin(*args, **options)
        self._written: dict[bytes, bytes] = {}
        self._bytes_written = 0

    def _store(self, oid: bytes, serial: bytes, data: bytes, blobfile: str | None = None) -> None:
        super()._store(oid, serial, data, blobfile)
        self._bytes_written += len(data)
        if self._bytes_written > SENT_MAX:
            self._written.clear()
        elif blobfile is None:
            self._written[oid] = data

    def _invalidate(self, tid: bytes) -> None:
        for oid in self.serials:
            self._written.pop(oid, None)  # the storage may have stored something else
        server, oids = self.server, self.invalidated
        # As ZEO does: for clients that come back.
        queue = server.invq[self.storage_id]
        if len(queue) >= server.invq_bound:
            queue.pop()
        queue.insert(0, (tid, oids))
        clients = server.zeo_storages_by_storage_id[self.storage_id]
        others = [client for client in clients if client is not self]
        # In the loop's next turn, or before a later one is finished: it is being finished now.
        _unannounced.setdefault(server, deque()).append((others, tid, oids, self._written))
        self.connection.loop.call_soon(self.announce)

    def announce(self) -> None:
        """Announce the transactions that have been finished, if that has not been done yet."""
        waiting = _unannounced.setdefault(self.server, deque())
        while waiting:
            _announce(*waiting.popleft())


def _announce(
    clients: Sequence[Any], tid: bytes, oids: Sequence[bytes], records: Mapping[bytes, bytes]
) -> None:
    """Tell clients of a transaction, and those that want them its records before."""
    encoded: dict[tuple[bytes, str], bytes] = {}

    def send(client: Any, method: str, *arguments: Any) -> None:
        protocol = client.connection
        key = protocol.protocol_version, method
        if key not in encoded:
            encoded[key] = protocol.encode(0, True, method, arguments)
        protocol.write_message(encoded[key])
        client.unread += len(encoded[key])

    for client in clients:
        if not client.connected:
            continue  # it has left meanwhile
        waiting = _bytes_waiting(client)
        if not waiting:
            client.unread = 0
        elif client.unread > BACKLOG_MAX:
            client.log("reads nothing any more: it is disconnected", logging.WARNING)
            client.connection.sm_protocol.transport.abort()
            continue
        with together(client.connection):
            if records and client.wants_records and waiting <= UNREAD_MAX:
                send(client, "info", {KEY: (tid, records)})
            send(client, "invalidateTransaction", tid, oids)


def _bytes_waiting(client: Any) -> int:
    size: int = client.connection.sm_protocol.transport.get_write_buffer_size()
    return size
