"""Into ZEO's server: the calls it gets, its answer to ``ruok``, where it listens, what it stores.

Records that clients send can be replaced, refused, or merged with those that other clients have
stored meanwhile.
"""

from __future__ import annotations

import logging
import secrets
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from ZEO.asyncio.server import ServerProtocol
from ZEO.runzeo import ZEOServer
from ZEO.StorageServer import ZEOStorage
from ZODB import ConflictResolution
from ZODB.POSException import ConflictError, StorageError
from ZODB.utils import load_current, z64

from motoko.channel.tls import keep_alive
from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_finishing import FinishingClient

_ACCEPTOR = "ZEO.asyncio.server:Acceptor"
_STORAGE = "ZEO.StorageServer:ZEOStorage"
relies_on(
    "ZEO",
    Need("ZEO.runzeo:ZEOServer", "create_server", ("self",)),
    Need("ZEO.runzeo:ZEOServer", "server", set_by="create_server"),
    Need("ZEO.runzeo:ZEOServer", "storages", set_by="open_storages"),
    Need("ZODB.BaseStorage:BaseStorage", "_oid", set_by="__init__"),
    Need("ZODB.BaseStorage:BaseStorage", "set_max_oid", ("self", "possible_new_max_oid")),
    Need("ZEO.StorageServer:StorageServer", "ruok", ("self",)),
    Need("ZEO.StorageServer:StorageServer", "acceptor", set_by="__init__"),
    Need("ZEO.StorageServer:StorageServer", "create_client_handler", ("self",)),
    Need("ZEO.StorageServer:StorageServer", "read_only", set_by="__init__"),
    Need(_STORAGE, "_store", ("self", "oid", "serial", "data", "blobfile")),
    Need(_STORAGE, "_checkread", ("self", "oid", "serial")),
    Need(_STORAGE, "storea", ("self", "oid", "serial", "data", "id")),
    Need(_STORAGE, "tpc_begin", ("self", "id")),
    Need(_STORAGE, "loadBefore", ("self", "oid", "tid")),
    Need(_STORAGE, "serials", set_by="tpc_begin"),
    Need(_STORAGE, "txnlog", set_by="tpc_begin"),
    Need("ZEO.StorageServer:CommitLog", "__iter__", ("self",)),
    Need(_ACCEPTOR, "event_loop", set_by="__init__"),
    Need(_ACCEPTOR, "factory", ("self",)),
    Need("ZEO.asyncio.server:ServerProtocol", "message_received", ("self", "message")),
    Need("ZEO.asyncio.server:ServerProtocol", "connection_lost", ("self", "exc")),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "protocol_factory", ("self",)),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "protocol_version"),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "sm_protocol", set_by="connection_made"),
    Need("ZEO.StorageServer:ZEOStorage", "register", ("self", "storage_id", "read_only")),
    Need("ZEO.StorageServer:ZEOStorage", "connection", set_by="notify_connected"),
)

# Skipped at random, since promised oids are recorded nowhere: a collision is as rare as hitting one
# of 10^5 oids among 2^40. There is room for millions of starts.
_SKIPPED_BITS = 40
_REMEMBERED = 2_000  # of the records that a client has read last


def when_called(tell: Callable[[], None]) -> None:
    """Have ``tell`` called for each call that a client of this process's server makes."""
    received = ServerProtocol.message_received
    keep_alives: dict[bytes, bytes] = {}  # by the version of the protocol

    def message_received(protocol: Any, message: bytes) -> None:
        # A client without news sends a keep-alive once a minute, which is not a call.
        version = protocol.protocol_version
        if version not in keep_alives:
            keep_alives[version] = protocol.encode(-1, 0, ".reply", None)
        if message != keep_alives[version]:
            tell()
        received(protocol, message)

    ServerProtocol.message_received = message_received


def log_no_probes() -> None:
    """Have this process's server not log connections that end before the client said anything.

    BlackDynamite's clients first look whether somebody listens, and each run is a client.
    """
    lost = ServerProtocol.connection_lost

    def connection_lost(protocol: Any, error: Exception | None) -> None:
        lost(protocol, error if protocol.protocol_version is not None else None)

    ServerProtocol.connection_lost = connection_lost


def when_registering(refusal: Callable[[int], str]) -> None:
    """Have this process's server ask whether it may serve a client at a Unix socket.

    ``refusal`` gets the client's pid, and returns the reason, which the client is told, or an empty
    text.
    """
    register = ZEOStorage.register

    def asking(storage: Any, *arguments: Any) -> Any:
        pid = _peer(storage.connection)
        if pid and (reason := refusal(pid)):
            raise StorageError(reason)
        return register(storage, *arguments)

    ZEOStorage.register = asking


def _peer(protocol: Any) -> int:
    """The pid of a client, from the kernel; 0 if there is none, as for a TCP connection."""
    connection = protocol.sm_protocol.transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return 0
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def extend_ruok(server: ZEOServer, more: Callable[[], dict[str, Any]]) -> None:
    """Have a server that was created add ``more`` to its answer to ``ruok``."""
    ask = server.server.ruok
    server.server.ruok = lambda: {**ask(), **more()}


def skip_promised_oids(server: ZEOServer) -> None:
    """Have a server whose storages are open give out no oid that an earlier server gave out.

    A storage gives out the oids after the last that is stored. So it would give out again those
    promised to clients that have stored nothing yet. Such a client may still be there, and its new
    object would overwrite another client's.
    """
    for storage in server.storages.values():
        last = int.from_bytes(storage._oid)
        storage.set_max_oid((last + secrets.randbits(_SKIPPED_BITS)).to_bytes(8))


def listen_besides(server: ZEOServer, host: str, port: int) -> None:
    """Have a server that was created listen at a TCP port, too; raises ``OSError``."""
    acceptor = server.server.acceptor
    loop = acceptor.event_loop
    listening = loop.run_until_complete(
        loop.create_server(acceptor.factory, host.strip("[]"), port)
    )
    for one in listening.sockets:
        # Accepted connections inherit it. (asyncio gives a view of the socket, not the socket.)
        keep_alive(one)


@dataclass(frozen=True)
class Store:
    """A record that a client stores.

    Attributes:
        oid: the object's oid.
        data: the record.
        before: the record stored at present; empty for a new object.
    """

    oid: bytes
    data: bytes
    before: bytes


class ClientStores:
    """What a client's transaction stores, and what the client has read; for a ``Replacement``."""

    def __init__(self, storage: Any, oids: Set[bytes], seen: deque[bytes]) -> None:
        self._storage = storage
        self._oids = oids
        self._seen = seen

    def new_oid(self) -> bytes:
        """The oid of a record to be added."""
        oid: bytes = self._storage.new_oid()
        return oid

    def unchanged(self) -> Iterator[tuple[bytes, bytes]]:
        """The present records of objects that the client has read, except those it stores now.

        They come with their oids, those read last first; at most the last few thousand.
        """
        for oid in dict.fromkeys(reversed(self._seen)):
            if oid not in self._oids:
                try:
                    yield oid, load_current(self._storage, oid)[0]
                except KeyError:
                    continue  # the object is gone


# Gives the records to store in place of one, by oid; ``None`` to store that one.
Replacement = Callable[[Store, ClientStores], dict[bytes, bytes] | None]


@dataclass(frozen=True)
class Sent:
    """A record that a client's transaction has sent.

    Attributes:
        serial: the serial of the revision that the client had; ``z64`` for a new object.
        data: the new record; empty if the client only relies on having the present one.
    """

    serial: bytes
    data: bytes


class Commit:
    """A client's transaction that is being stored, and the database; for what merges the two.

    Attributes:
        sent: the records of the transaction, by oid.
    """

    def __init__(self, storage: Any, sent: Mapping[bytes, Sent]) -> None:
        self.sent = sent
        self._storage = storage

    def new_oid(self) -> bytes:
        """The oid of a record to be added."""
        oid: bytes = self._storage.new_oid()
        return oid

    def current(self, oid: bytes) -> bytes:
        """A record as it is stored now. Raises ``KeyError`` if it is not there."""
        data: bytes = load_current(self._storage, oid)[0]
        return data

    def at(self, oid: bytes, serial: bytes) -> bytes:
        """A revision of a record. Raises ``KeyError`` if it is no longer there."""
        data: bytes = self._storage.loadSerial(oid, serial)
        return data


@dataclass(frozen=True)
class Merge:
    """The result of merging records that other clients have changed meanwhile.

    Attributes:
        sent: the oids of records that the client has sent, which this replaces.
        records: the records to store, by oid.
    """

    sent: Set[bytes]
    records: Mapping[bytes, bytes]


# Called for each conflict that ZODB cannot resolve; ``None`` if the conflict remains.
Merging = Callable[[bytes], Merge | None]


def replace_stores(
    server: ZEOServer,
    concerned: Callable[[bytes], bool],
    replacement: Replacement,
    merging: Callable[[Commit], Merging],
) -> None:
    """Have a server that was created store what ``replacement`` gives in place of sent records.

    The client learns of a replacement as it does of a conflict that the server has resolved. A
    record that other clients have changed meanwhile is not replaced: it is merged with theirs, or
    is a conflict. The client's commit raises what ``replacement`` raises.

    Args:
        server: the server.
        concerned: whether a record may have to be replaced; must be quick, as it gets all records.
        replacement: gives the records, some of them new ones, others unchanged by the client.
        merging: called with a transaction that meets a conflict; gives the function that merges
            its records.
    """
    created = server.server

    def create_client_handler() -> _StoringClient:
        return _StoringClient(created, concerned, replacement, merging)

    created.create_client_handler = create_client_handler
    # ZODB logs a traceback if values do not compare. The conflict is merged, or the client told.
    logging.getLogger(ConflictResolution.__name__).setLevel(logging.CRITICAL)


class _StoringClient(FinishingClient):
    """The server's side of one client's connection."""

    def __init__(
        self,
        server: Any,
        concerned: Callable[[bytes], bool],
        replace: Replacement,
        merging: Callable[[Commit], Merging],
    ) -> None:
        super().__init__(server, server.read_only)
        self._concerned = concerned
        self._replace = replace
        self._merging = merging
        self._seen: deque[bytes] = deque(maxlen=_REMEMBERED)

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:
        self._seen.append(oid)
        return super().loadBefore(oid, tid)

    def tpc_begin(self, *args: Any, **options: Any) -> None:
        super().tpc_begin(*args, **options)
        self._oids: set[bytes] = set()  # records that are stored
        self._beside: dict[bytes, set[bytes]] = {}  # further records stored for the sake of one
        self._merged: set[bytes] = set()  # sent records that a merge has replaced
        self._merge: Merging | None = None

    def storea(self, oid: bytes, serial: bytes, data: bytes, id: Any) -> None:
        self._oids.add(oid)
        super().storea(oid, serial, data, id)

    def _store(self, oid: bytes, serial: bytes, data: bytes, blobfile: str | None = None) -> None:
        if oid in self._merged:
            return
        try:
            self._store_good(oid, serial, data, blobfile)
        except ConflictError:
            if not self._resolved(oid):
                raise

    def _checkread(self, oid: bytes, serial: bytes) -> None:
        if oid in self._merged:
            return
        try:
            super()._checkread(oid, serial)
        except ConflictError:
            if not self._resolved(oid):
                raise

    def _store_good(self, oid: bytes, serial: bytes, data: bytes, blobfile: str | None) -> None:
        """Store a record, or its replacement."""
        records = None
        if blobfile is None and self._concerned(data):
            records = self._replacement(oid, serial, data)
        self._seen.append(oid)
        if records is None:
            super()._store(oid, serial, data, blobfile)
            return
        # No other replacement may touch these in this transaction: it would not know of this one.
        self._oids.update(records)
        for stored, record in records.items():
            present = serial if stored == oid else self._serial(stored)
            super()._store(stored, present, record)
            if present != z64 or stored == oid:
                self.serials.append(stored)  # the client's copy is not what is stored
                self._beside.setdefault(oid, set()).add(stored)

    def _resolved(self, oid: bytes) -> bool:
        """Merge a record that other clients have changed, and store it; whether that worked."""
        if self._merge is None:
            self._merge = self._merging(Commit(self.storage, self._sent()))
        merge = self._merge(oid)
        if merge is None:
            return False
        beside = set().union(*(self._beside.get(sent, ()) for sent in merge.sent))
        restored = {kept: load_current(self.storage, kept)[0] for kept in beside}
        records = {**restored, **merge.records}
        self._merged |= merge.sent
        # The client's copies of these are not what is stored; records it only relied on may be.
        self.serials.extend({*records} | (merge.sent & self._oids))
        self._oids.update(records)
        for stored, record in records.items():
            self._store_good(stored, self._serial(stored), record, None)
        return True

    def _sent(self) -> dict[bytes, Sent]:
        """All records of the client's transaction, stored already or not."""
        sent = {}
        for operation, arguments in self.txnlog:  # more than one may be reading it
            if operation == "_store":
                oid, serial, data = arguments
                sent[oid] = Sent(serial, data)
            elif operation == "_checkread":
                oid, serial = arguments
                sent.setdefault(oid, Sent(serial, b""))
        return sent

    def _replacement(self, oid: bytes, serial: bytes, data: bytes) -> dict[bytes, bytes] | None:
        present = self._serial(oid)
        before = b"" if present == z64 else load_current(self.storage, oid)[0]
        stores = ClientStores(self.storage, self._oids, self._seen)
        records = self._replace(Store(oid, data, before), stores)
        return records if present == serial else None  # else another client has changed it

    def _serial(self, oid: bytes) -> bytes:
        try:
            serial: bytes = self.storage.getTid(oid)
        except KeyError:
            return bytes(z64)
        return serial
