"""A real ZEO server without a socket or process, and a client that knows what it was promised.

Bytes go from one to the other by hand, so that a test can lose the server after any of them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ZEO.asyncio.marshal import decoder, encoder
from ZEO.asyncio.server import ServerProtocol
from ZEO.StorageServer import StorageServer
from ZODB.FileStorage import FileStorage
from ZODB.utils import maxtid, p64, u64, z64

from motoko.channel.relay.zeo_framing import Stream, content, framed

ENCODE, DECODE = encoder(b"Z5"), decoder(b"Z5")


class Wire:
    """What ZEO takes for the transport of a connection."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.is_closed = False

    def writelines(self, parts: Any) -> None:
        self.out += b"".join(parts)

    def write(self, data: bytes) -> None:
        self.out += data

    def close(self) -> None:
        self.is_closed = True

    def get_extra_info(self, name: str) -> Any:
        return None


class Connection:
    """One connection to a server: bytes in, bytes out."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wire = Wire()
        handler = server.storages.create_client_handler()
        self.protocol = ServerProtocol(server.loop, "by hand", handler, False)
        self.protocol.connection_made(self.wire)

    def put(self, data: bytes) -> None:
        if not self.wire.is_closed and data:
            self.protocol.data_received(data)
            self.server.turn()

    def take(self, most: int = 1 << 30) -> bytes:
        data = bytes(self.wire.out[:most])
        del self.wire.out[:most]
        return data

    def drop(self) -> None:
        """The server notices that its client is gone."""
        self.protocol.connection_lost(None)
        self.server.turn()


class Server:
    """A ZEO server with a database in a file."""

    def __init__(self, path: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.path = path
        self.file = FileStorage(str(path))
        self.storages = StorageServer(None, {"1": self.file})

    def turn(self) -> None:
        for _ in range(3):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def kill(self) -> None:
        """What is not committed is gone, and nobody is told anything."""
        self.file.close()
        self.loop.close()

    def commits(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """All that was committed: by transaction, the records by oid."""
        return [
            (txn.tid, {record.oid: record.data for record in txn}) for txn in self.file.iterator()
        ]


class Client:
    """A ZEO client: what it has sent and not, what it was told, and what it holds for true."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.stream = Stream()
        self.calls: dict[Any, tuple[str, Any]] = {}
        self.number = 0
        self.answers: dict[Any, Any] = {}
        self.errors: dict[Any, Any] = {}
        self.cache: dict[bytes, tuple[bytes, bytes]] = {}  # oid: record, tid
        self.tid = z64
        self.oids: list[bytes] = []
        self.stored: dict[bytes, bytes] = {}  # by the transaction that it commits
        self.is_greeted = False

    def call(self, name: str, *args: Any, number: Any = None) -> Any:
        if number is None:
            self.number += 1
            number = self.number
        self.calls[number] = (name, args)
        self.out += framed(ENCODE(number, False, name, args))
        return number

    def say(self, name: str, *args: Any) -> None:
        self.out += framed(ENCODE(0, True, name, args))

    def load(self, oid: bytes) -> None:
        if oid not in self.cache:
            self.call("loadBefore", oid, p64(u64(self.tid) + 1), number=(oid, self.tid))

    def put(self, data: bytes) -> None:
        for message in self.stream.messages(data):
            if not self.is_greeted:
                assert content(message) == b"Z5"
                self.is_greeted = True
                self.out += framed(b"Z5")
                self.call("register", "1", False)
            else:
                self._of_server(*DECODE(content(message)))

    def _of_server(self, number: Any, flag: Any, name: str, said: Any) -> None:
        if name == "invalidateTransaction":
            tid, oids = said
            assert tid >= self.tid, "news of transactions come in their order"
            self.tid = tid
            for oid in oids:
                self.cache.pop(oid, None)
        elif name == ".reply":
            call, args = self.calls.pop(number)  # each is answered once
            if flag:
                self.errors[number] = said
                return
            self.answers[number] = said
            if call == "register":
                self.tid = said
            elif call == "loadBefore" and said and said[2] is None:
                self.cache[args[0]] = said[:2]
            elif call == "new_oids":
                self.oids += said
            elif call == "tpc_finish":
                assert said is not None and said >= self.tid
                self.tid = said
                self.cache |= {oid: (record, said) for oid, record in self.stored.items()}
        else:
            assert name == "info", name


def current(server: Server, oid: bytes) -> tuple[bytes, bytes] | None:
    """The present record of an object, and its tid."""
    try:
        record = server.file.loadBefore(oid, maxtid)
    except KeyError:
        return None
    return None if record is None else record[:2]
