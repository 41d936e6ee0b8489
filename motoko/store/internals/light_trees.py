"""Into BTrees: of its 22 kinds of trees, the import makes those that ZODB needs at once.

The import of BTrees makes the classes of every kind. That is a tenth of what the start of a daemon
costs. Here the other kinds are made when they are first used, and nothing else is different.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType

AT_ONCE = ("OO", "fs")
OF_THE_CLASSES = ("__all__", "__provides__")

_filling = RLock()


class _LaterTrees(ModuleType):
    """A module of one kind, such as ``BTrees.IOBTree``, without its content until that is used."""

    def __init__(self, prefix: str, make: Callable[[str], ModuleType]) -> None:
        super().__init__(f"BTrees.{prefix}BTree")
        self._make = partial(make, prefix)

    def __getattr__(self, name: str) -> object:
        # Whoever looks through all modules that are loaded asks for their __file__ and the like.
        if not name.startswith("__") or name in OF_THE_CLASSES:
            self._fill()
        return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        self._fill()
        return list(ModuleType.__dir__(self))

    def _fill(self) -> None:
        with _filling:
            if make := vars(self).pop("_make", None):
                vars(self).update(vars(make()))


class _Finder:
    """Finds BTrees where it is, and has it executed otherwise."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "BTrees":
            return None
        spec = PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            vars(spec.loader)["exec_module"] = partial(_execute, spec.loader.exec_module)
        return spec


def _execute(execute: Callable[[ModuleType], None], package: ModuleType) -> None:
    try:
        builder = import_module("BTrees._module_builder")
        make = builder.create_module
    except (ImportError, AttributeError):  # it is another BTrees, which may be light by itself
        execute(package)
        return
    vars(builder)["create_module"] = lambda prefix: (
        make(prefix) if prefix in AT_ONCE else _LaterTrees(prefix, make)
    )
    try:
        execute(package)
    finally:
        vars(builder)["create_module"] = make


def make_import_light() -> None:
    """From now on, the first import of BTrees makes only what is needed."""
    sys.meta_path.insert(0, _Finder)
