"""What runs do first with their study, done in their template, with a server that is none.

A part of warm_zeo.py. It stands alone, as that does. Runs find code that Python has adapted to its
use, and what zope.interface keeps about classes. No thread, no file and no socket is left.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import logging
import socket
import sys
from typing import Any

TIMES = 12  # Python adapts code that has been executed several times
ADDRESS = "/rehearsal"  # nobody connects to it


class Server:
    """Gives the answers of a ZEO server that has some records."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self._records, self._tid = records, 1
        self._encode = sys.modules["ZEO.asyncio.marshal"].encoder(b"Z5", True)
        self._decode = sys.modules["ZEO.asyncio.marshal"].decoder(b"Z5")
        self.socket, self.client = socket.socketpair()
        self.client.settimeout(0)
        self._say(b"Z5")
        self._is_greeted = False

    def _say(self, message: bytes) -> None:
        self.socket.sendall(len(message).to_bytes(4, "big") + message)

    def answer(self) -> None:
        """Answer what the client has sent since."""
        try:
            data = self.socket.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            message, data = data[4:end], data[end:]
            if not self._is_greeted:
                self._is_greeted = True
                continue
            number, is_async, method, arguments = self._decode(message)
            if not is_async:
                self._say(self._encode(number, False, ".reply", self._reply(method, arguments)))

    def _reply(self, method: str, arguments: tuple[Any, ...]) -> Any:
        if method == "loadBefore":
            return self._records[arguments[0]], (1).to_bytes(8, "big"), None
        if method == "get_info":
            names = "Restoreable", "Iteration", "Undoable", "CurrentRecordIteration"
            names_of_all = (*(f"IStorage{name}" for name in names), "IBlobStorage", "IExternalGC")
            interfaces = tuple(("ZODB.interfaces", name) for name in names_of_all)
            return {"length": 1, "size": 1, "name": "", "interfaces": interfaces}
        if method == "tpc_finish":
            self._tid += 1
            self._say(self._encode(0, True, "info", ({"length": 1, "size": 1},)))
        return [] if method == "vote" else self._tid.to_bytes(8, "big")


def rehearse(warm_client: Any) -> list[Any]:
    """Have such a client do what runs do; returns what is to be kept for them."""
    kept: list[Any] = []
    declarations: Any = sys.modules["zope.interface.declarations"]
    make = declarations.Provides

    def provides(*arguments: Any) -> Any:
        kept.append(make(*arguments))
        return kept[-1]

    before = logging.root.manager.disable
    logging.disable()
    declarations.Provides = provides
    try:
        records = study_records()
        for _ in range(TIMES):
            session(warm_client, records)
    finally:
        logging.disable(before)
        declarations.Provides = make
        while gc.collect():  # connections have circles within circles
            pass
    return kept


def study_records() -> dict[bytes, bytes]:
    """The records of a study with one job and one run."""
    trees: Any = sys.modules["BTrees.OOBTree"]
    small: Any = sys.modules["BlackDynamite.lowercase_btree"]
    tree = trees.OOBTree
    run = sys.modules["BlackDynamite.run_zeo"].RunZEO
    job = sys.modules["BlackDynamite.job"].JobZEO
    database = sys.modules["ZODB"].DB(None)
    manager = sys.modules["transaction"].TransactionManager()
    connection = database.open(manager)
    run, job = run.__new__(run), job.__new__(job)
    entries = {"id": 1, "state": "launched", "job_id": 1, "run_name": "a", "nproc": 1}
    entries |= {f"entry {number}": str(number) for number in range(12)}
    for one, values in (run, entries), (job, {"id": 1, "x": 1.5}):
        types = small.PersistentLowerCaseBTree()
        one.__dict__.update(entries=tree(values), types=types, key_string="a_", optional=["a"])
    run.__dict__.update(operators={}, configfiles=trees.OOSet("a"), quantities=tree())
    schema = small.PersistentLowerCaseBTree()
    for name, content in ("Runs", run), ("Jobs", job):
        schema[name] = small.PersistentLowerCaseBTree(key_string="a_")
        schema[name][1] = content
    schemas = small.PersistentLowerCaseBTree(key_string="study_")
    schemas["root_a"] = schema
    connection.root.schemas = schemas
    manager.commit()
    storage = database.storage
    records = {oid: storage.load(oid)[0] for oid in list(storage._data)}
    connection.close()
    database.close()
    return records


def session(warm_client: Any, records: dict[bytes, bytes]) -> None:
    """What BlackDynamite's ``getRunFromScript``, ``start`` and ``finish`` do."""
    server = Server(records)

    class Rehearsing(warm_client):  # type: ignore[misc]
        def _begin_thread(self, name: str) -> None:
            pass

        def _connected(self, *_: Any) -> socket.socket:
            return server.client

        def _turn(self, duration_s: float) -> bool:
            server.answer()
            return bool(super()._turn(duration_s))

        def _hand_over(self) -> None:
            raise RuntimeError

        def close(self) -> None:
            self._line.end(None)

    module = sys.modules["transaction"]
    database = sys.modules["ZEO"].DB(
        ADDRESS,
        read_only=False,
        server_sync=False,
        blob_dir=ADDRESS,
        shared_blob_dir=True,
        wait_timeout=5,
        _client_factory=Rehearsing,
    )
    with contextlib.closing(server.socket):
        connection = database.open()
        try:
            schema = connection.root.schemas["root_a"]
            list(connection.root.schemas)
            run, job = schema["Runs"][1], schema["Jobs"][1]
            module.commit()
            if run.state == "launched" and job.x:
                run.entries["state"] = "START"
                run.start_time = datetime.datetime.now()
                module.commit()
            run.entries["state"] = "FINISHED"
            module.commit()
        finally:
            module.abort()
            connection.close()
            database.close()
