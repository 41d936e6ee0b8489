"""What a study's server does with the records that its clients store.

All that is written passes here, from Motoko's processes, and from doIt.py and BlackDynamite's
tools, which know nothing of Motoko. Large values get records of their own. A value that no other
process could read is refused: its writer's commit raises ``TypeError``, the one error of this kind
that a server can send to its clients. Databases made earlier may hold such values, which stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from motoko.store.internals.tree_records import is_tree_record
from motoko.store.internals.zeo_servers import ClientStores, Store
from motoko.store.large_values import LARGE, largest, separated
from motoko.store.records import class_of, classes_in, node
from motoko.store.value_limits import HINT, MAIN, SIZE_MAX, not_readable, too_large

_MAINS = f"c{MAIN}\n".encode()  # as pickles name a class of it
_RUN = b"cBlackDynamite.run_zeo\nRunZEO\n"


def concerned(data: bytes) -> bool:
    """Whether a record may have to be replaced or refused; quick."""
    return len(data) > LARGE or _MAINS in data


def replacement(store: Store, client: ClientStores) -> dict[bytes, bytes] | None:
    """The records to store in place of one, by oid; ``None`` to store that one.

    Raises ``TypeError`` for a record that must not be stored.
    """
    is_tree = is_tree_record(store.data)
    if _MAINS in store.data and (is_tree or _RUN in store.data):
        names = _mains_classes(store.data)
        if new := names - _mains_classes(store.before):
            raise _refused(
                store.data, _of_classes(store.data, new), f"{not_readable(min(new))} ({HINT})"
            )
    if len(store.data) <= LARGE or not is_tree:
        return None
    if len(store.data) > SIZE_MAX >= len(store.before):
        raise _refused(store.data, largest(store.data), too_large(len(store.data)))
    return separated(store.oid, store.data, client.new_oid, client.unchanged)


def _mains_classes(data: bytes) -> set[str]:
    """The classes of scripts that a record names."""
    own = f"{MAIN}."
    return {name.removeprefix(own) for name in classes_in(data) if name.startswith(own)}


def _refused(data: bytes, entry: str | None, problem: str) -> TypeError:
    """The error for a record; it names the run or job, as far as the record tells."""
    items = dict(node(data).items) if is_tree_record(data) else {}
    number = items.get("id")
    owner = "a run or job"
    if isinstance(number, int):
        owner = f"{'run' if 'job_id' in items else 'job'} {number}"
    name = f": {entry!r}" if entry else ""
    return TypeError(f"{owner}{name} cannot be saved: {problem}")


def _of_classes(data: bytes, classes: set[str]) -> str | None:
    """The first entry in a record that holds objects of these classes of scripts."""
    wanted = {f"{MAIN}.{name}" for name in classes}
    items = node(data).items if is_tree_record(data) else ()
    return next((name for name, value in items if wanted & set(_classes_of(value))), None)


def _classes_of(value: Any) -> Iterator[str]:
    """The classes in a value that are not Python's own."""
    if (name := class_of(value)) is not None:
        yield name
    elif isinstance(value, (list, tuple, set, frozenset)):
        for element in value:
            yield from _classes_of(element)
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from (*_classes_of(key), *_classes_of(element))
