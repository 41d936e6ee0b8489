"""Into ZODB's connections and transaction's managers: changed objects and views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import transaction

from motoko.store.internals.self_check import Need, relies_on

_CONNECTION = "ZODB.Connection:Connection"
relies_on(
    "ZODB",
    Need(_CONNECTION, "_storage", set_by="__init__"),
    Need(_CONNECTION, "_cache", set_by="__init__"),
    Need(_CONNECTION, "_registered_objects", set_by="__init__"),
    Need(_CONNECTION, "_needs_to_join", set_by="__init__"),
    Need(_CONNECTION, "register", ("self", "obj")),
    Need(_CONNECTION, "tpc_finish", ("self", "transaction")),
    Need(_CONNECTION, "newTransaction", ("self", "transaction")),
    Need("ZODB.mvccadapter:MVCCAdapterInstance", "_start", set_by="poll_invalidations"),
    Need("ZODB.mvccadapter:MVCCAdapterInstance", "poll_invalidations", ("self",)),
)
relies_on(
    "transaction",
    Need("transaction._manager:ThreadTransactionManager", "manager", set_by="__init__"),
    Need("transaction._manager:TransactionManager", "commit", ("self",)),
    Need("transaction._transaction:Transaction", "_unjoin", ("self", "resource")),
)


def view_of(connection: Any) -> bytes:
    """The tid that bounds the connection's view: it sees what was committed before this tid."""
    view: bytes = connection._storage._start
    return view


def changed_objects(connection: Any) -> list[Any]:
    """The objects that were changed in the present transaction, new ones included."""
    changed: list[Any] = connection._registered_objects
    return changed


def has_changes(connection: Any) -> bool:
    """Whether the connection takes part in the present transaction."""
    return not connection._needs_to_join


def objects_in_memory(connection: Any) -> Iterator[Any]:
    """The objects whose content is in memory, those used last at the end."""
    for _, obj in connection._cache.lru_items():
        yield obj


def object_at(connection: Any, oid: bytes, cls: Any) -> Any:
    """The object of a class that a record holds; not loaded, unless it is in memory."""
    cache = connection._cache
    obj = cache.get(oid)
    if obj is None:
        obj = cls.__new__(cls)
        cache.new_ghost(oid, obj)
    return obj


def renew_view(connection: Any) -> None:
    """Have this connection alone see new commits; it must have no changes."""
    connection.newTransaction(None)


def drop_changes(connection: Any) -> None:
    """Take a connection, and so its changes, out of its transaction."""
    current = connection.transaction_manager.get()
    connection.abort(current)
    current._unjoin(connection)


def when_changed(connection: Any, tell: Callable[[Any], None]) -> None:
    """Have ``tell`` called with each object that is changed, once per transaction."""
    register = connection.register

    def registered(obj: Any) -> None:
        register(obj)
        tell(obj)

    # Persistent objects call their connection's `register` when they are first changed.
    connection.register = registered


def when_others_committed(connection: Any, tell: Callable[[Iterable[bytes] | None], None]) -> None:
    """Have ``tell`` called with the oids that other clients changed, when the view moves on.

    It gets ``None`` if the oids are not known.
    """
    storage = connection._storage
    poll = storage.poll_invalidations

    def polled() -> Any:
        oids = poll()
        tell(oids)
        return oids

    storage.poll_invalidations = polled


def around_finish(connection: Any, finishing: Callable[[Callable[[], None]], None]) -> None:
    """Have ``finishing`` called with the function that finishes this connection's commits."""
    finish = connection.tpc_finish
    connection.tpc_finish = lambda txn: finishing(lambda: finish(txn))


def replace_commit(commit: Callable[[], None]) -> Callable[[], None]:
    """Have all commits of the calling thread go through ``commit``; returns the plain commit."""
    manager = transaction.manager.manager
    plain: Callable[[], None] = manager.commit
    manager.commit = commit
    return plain


def begin_anew() -> None:
    """Give a forked child a transaction of its own, without its parent's changes."""
    transaction.manager.manager = transaction.TransactionManager()
