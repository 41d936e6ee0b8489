"""Reading the records of trees, with their values, and writing them again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from BTrees.OOBTree import OOBucket

from motoko.store.internals.pickles import class_and_state, record_of

_CLASSES = (b"cBTrees.OOBTree\nOOBTree\n", b"cBTrees.OOBTree\nOOBucket\n")
_HEAD = 64  # bytes in which a record names its class


@dataclass(frozen=True)
class Reference:
    """An object in another record, as records write it."""

    written: Any

    @classmethod
    def to_leaf(cls, oid: bytes) -> Reference:
        """A tree's or leaf's reference to a leaf."""
        return cls((oid, OOBucket))

    @property
    def oid(self) -> bytes:
        """The other record's oid."""
        oid: bytes = self.written[0] if isinstance(self.written, tuple) else self.written
        return oid


def is_tree_record(data: bytes) -> bool:
    """Whether a record is one of a tree: its root, a node or a leaf."""
    head = data[:_HEAD]
    return any(name in head for name in _CLASSES)


def read(data: bytes) -> tuple[Any, Any]:
    """A record's class, and its state with :class:`Reference` for objects in other records.

    Raises whatever reading the values raises: their classes are imported.
    """
    return class_and_state(data, _class, Reference)


def written(value: Any) -> Any:
    """What is written for an object in another record; ``None`` for others."""
    return value.written if type(value) is Reference else None


def record(cls: Any, state: Any) -> bytes:
    """The record of an object: the reverse of :func:`read`."""
    return record_of(cls, state, written)


@cache
def _class(module: str, name: str) -> Any:
    return getattr(import_module(module), name)
