"""Into BlackDynamite's runs and jobs: noticing each item and attribute that is set.

ZODB only reports a record's first change, and does not name the item.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from BlackDynamite.zeoobject import ZEOObject
from persistent import Persistent

from motoko.store.internals.self_check import Need, relies_on

_OBJECT = "BlackDynamite.zeoobject:ZEOObject"
relies_on(
    "BlackDynamite",
    Need(_OBJECT, "__setitem__", ("self", "index", "value")),
    Need(_OBJECT, "__delitem__", ("self", "attr")),
    Need(_OBJECT, "__setattr__", ("self", "attr", "value")),
)


def when_written(tell: Callable[[Any, bytes, str], None]) -> None:
    """Have ``tell`` called with the connection, the record's oid and the name of what is set.

    This holds for all stored runs and jobs of this process. Items that are set in ``run.entries``
    itself are not noticed.
    """
    set_item, delete_item = ZEOObject.__setitem__, ZEOObject.__delitem__
    set_attribute = ZEOObject.__setattr__

    def tell_of(record: Any, name: Any) -> None:
        # Jobs that BlackDynamite makes have a dict, which is no record.
        is_stored = isinstance(record, Persistent) and record._p_oid is not None
        if is_stored and isinstance(name, str):
            tell(record._p_jar, record._p_oid, name)

    def item_set(self: Any, index: Any, value: Any) -> None:
        set_item(self, index, value)
        tell_of(self.entries, index.lower() if isinstance(index, str) else index)

    def item_deleted(self: Any, attr: Any) -> None:
        delete_item(self, attr)
        tell_of(self.entries, attr.lower() if isinstance(attr, str) else attr)

    def attribute_set(self: Any, attr: str, value: Any) -> None:
        set_attribute(self, attr, value)
        if not attr.startswith("_"):
            tell_of(self, attr)

    ZEOObject.__setitem__ = item_set
    ZEOObject.__delitem__ = item_deleted
    ZEOObject.__setattr__ = attribute_set
