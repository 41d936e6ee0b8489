"""Into ZEO's server: finishing a transaction as soon as it has voted; see ``zeo_short_commits``."""

from __future__ import annotations

from typing import Any

from ZEO.asyncio.server import Result
from ZODB.POSException import StorageTransactionError

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_arrivals import greeting_of
from motoko.store.internals.zeo_sending import SendingClient
from motoko.store.internals.zeo_short_commits import METHOD

_STORAGE = "ZEO.StorageServer:ZEOStorage"
relies_on(
    "ZEO",
    Need("ZEO.asyncio.server:Result", "__init__", ("self",)),
    Need("ZEO.asyncio.server:ServerProtocol", "methods"),
    Need("ZEO.StorageServer:LockManager", "lock", ("self", "zs", "func")),
    Need(_STORAGE, "register", ("self", "storage_id", "read_only")),
    Need(_STORAGE, "get_info", ("self",)),
    Need(_STORAGE, "lock_manager", set_by="register"),
    Need(_STORAGE, "locked"),
    Need(_STORAGE, "vote", ("self", "tid")),
    Need(_STORAGE, "_vote", ("self", "delay")),
    Need(_STORAGE, "tpc_finish", ("self", "id")),
    Need(_STORAGE, "_clear_transaction", ("self",)),
)


class FinishingClient(SendingClient):
    """The server's side of one client's connection; may finish what it has just voted for."""

    def register(self, *arguments: Any) -> Any:
        answer = super().register(*arguments)
        self.connection.methods = self.connection.methods | {METHOD}
        return answer

    def get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super().get_info()
        # Between this server and a client of another host there may be a relay, which knows ZEO's
        # own calls, and repeats what was cut between them.
        return info if greeting_of(self) else {**info, METHOD: True}

    def vote_and_finish(self, number: Any) -> Any:
        """Vote as ``vote`` does, and finish: the oids as from ``vote``, the tid, and an error.

        An error is one of ``tpc_finish``: what raised it may be half done, as in ZEO itself.
        """
        self._check_tid(number, exc=StorageTransactionError)

        def voted() -> Any:
            resolved = self._vote()
            if not self.locked:
                return resolved, None, None
            # Nobody may hear of this transaction before those that came before it. A client that
            # finishes by a call of its own makes it a turn of the loop later: they are announced.
            self.announce()
            try:
                tid, clear = self.tpc_finish(number).args
            except Exception as error:  # noqa: BLE001 (the client raises it)
                return resolved, None, error
            return Result((resolved, tid, None), clear)

        return self.lock_manager.lock(self, voted)
