"""Into ZEO's server: sending what a transaction has written, see :mod:`.zeo_written`."""

from __future__ import annotations

from typing import Any

from ZEO.StorageServer import ZEOStorage

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_written import KEY, WANTS_RECORDS

_STORAGE = "ZEO.StorageServer:ZEOStorage"
relies_on(
    "ZEO",
    Need(_STORAGE, "set_client_label", ("self", "label")),
    Need(_STORAGE, "_invalidate", ("self", "tid")),
    Need(_STORAGE, "_store", ("self", "oid", "serial", "data", "blobfile")),
    Need(_STORAGE, "storage_id", set_by="register"),
    Need(_STORAGE, "serials", set_by="tpc_begin"),
    Need(_STORAGE, "connection", set_by="notify_connected"),
    Need("ZEO.StorageServer:StorageServer", "zeo_storages_by_storage_id", set_by="__init__"),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "sm_protocol", set_by="connection_made"),
)

SENT_MAX = 4 << 20  # bytes of records: of a larger transaction, clients load what they need
UNREAD_MAX = 32 << 10  # bytes that a client has not read yet: one that is behind gets no records


class SendingClient(ZEOStorage):  # type: ignore[misc]  # ZEO has no types
    """The server's side of one client's connection; sends what others have written."""

    wants_records = False

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
        if self._written:
            message = {KEY: (tid, self._written)}
            for client in self.server.zeo_storages_by_storage_id[self.storage_id]:
                if client is not self and client.wants_records and not _is_behind(client):
                    client.async_threadsafe("info", message)
        super()._invalidate(tid)


def _is_behind(client: Any) -> bool:
    return bool(client.connection.sm_protocol.transport.get_write_buffer_size() > UNREAD_MAX)
