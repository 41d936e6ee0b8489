"""Into ZEO's client: a commit to one study alone takes one round trip, not two.

ZEO's client first has the server vote for a transaction, and then has it finished: all storages
that take part have to vote before any may finish. Where only one takes part, the server may finish
as soon as it has voted; see ``zeo_finishing`` for its side of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ZEO.Exceptions import ClientDisconnected

from motoko.store.internals.self_check import Need, relies_on

_IO = "ZEO.asyncio.client:ClientIO"
_STORAGE = "ZEO.ClientStorage:ClientStorage"
_ADAPTER = "ZODB.mvccadapter:MVCCAdapterInstance"
relies_on(
    "ZEO",
    Need(_IO, "tpc_finish_co", ("self", "tid", "updates", "f")),
    Need(_IO, "cache", set_by="__init__"),
    Need(_IO, "disconnected", ("self", "protocol")),
    Need("ZEO.asyncio.client:Protocol", "server_call", ("self", "method")),
    Need("ZEO.TransactionBuffer:TransactionBuffer", "server_resolve", ("self", "oid")),
    Need(_STORAGE, "_check_trans", ("self", "trans", "meth")),
    Need(_STORAGE, "_iterator_gc", ("self",)),
    Need(_STORAGE, "tpc_vote", ("self", "txn")),
    Need(_STORAGE, "tpc_finish", ("self", "txn", "f")),
    Need(_STORAGE, "tpc_abort", ("self", "txn")),
    Need(_STORAGE, "tpc_end", ("self", "txn")),
)
relies_on(
    "ZODB",
    Need(_ADAPTER, "tpc_finish", ("self", "transaction", "func")),
    Need(_ADAPTER, "_modified"),
    Need(_ADAPTER, "_base", set_by="__init__"),
    Need(_ADAPTER, "_storage", set_by="__init__"),
    Need("ZODB.mvccadapter:MVCCAdapter", "_invalidate_finish", ("self", "tid", "oids")),
    Need("ZODB.Connection:Connection", "tpc_vote", ("self", "transaction")),
)
relies_on(
    "transaction",
    Need("transaction._transaction:Transaction", "_resources", set_by="__init__"),
)

METHOD = "vote_and_finish"  # of servers whose ``info`` has this key

Tell = Callable[[bytes], None]


@dataclass
class ShortCommit:
    """A transaction that the server finishes as soon as it has voted for it.

    Attributes:
        buffer: what it stores.
        tell: called with its tid before anything can be seen that has come after it.
        tid: its tid, when it was finished.
    """

    buffer: Any
    tell: Tell
    tid: bytes | None = None

    async def vote(self, client: Any, number: int) -> Any:
        """Have the server vote and finish; what it raises or returns is as for its vote.

        Runs on the thread that receives the server's messages, as ZEO's ``tpc_finish_co`` does, of
        which the rest is a copy.
        """
        if not client.operational:
            raise ClientDisconnected
        protocol = client.protocol
        resolved, tid, error = await protocol.server_call(METHOD, number)
        if tid is None and error is None:
            return resolved
        try:
            if error is not None:
                raise error
            for oid in resolved:
                self.buffer.server_resolve(oid)
            for oid, data, is_resolved in self.buffer:
                client.cache.invalidate(oid, tid)
                if data and not is_resolved:
                    client.cache.store(oid, tid, None, data)
            with client.cache._lock:
                client.cache.setLastTid(tid)
                self.tell(tid)
        except Exception:
            # What is known here may be wrong: when it has connected again, ZEO compares it.
            protocol.close()
            client.disconnected(protocol)
            raise
        self.tid = tid
        return resolved


def shorten_commits(connection: Any, finish_with_vote: Callable[[Tell], None]) -> None:
    """Have a connection's transactions finished with the vote if nothing else takes part.

    ``finish_with_vote`` is called just before the vote of such a transaction.
    """
    vote = connection.tpc_vote

    def tpc_vote(txn: Any) -> None:
        if txn._resources == [connection]:
            adapter = connection._storage
            modified = adapter._modified

            def tell(tid: bytes) -> None:
                # The same as in the adapter's `tpc_finish`.
                adapter._base._invalidate_finish(tid, modified, adapter)
                adapter._ltid = tid

            finish_with_vote(tell)
        vote(txn)

    connection.tpc_vote = tpc_vote
