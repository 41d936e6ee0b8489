"""Into BlackDynamite's one base: several bases in one process, never mixed.

BlackDynamite keeps the base opened last in ``BaseZEO.singleton_base``, and asks it for everything.
Once :func:`install` has run, an object stored in a database belongs to that database's base, and
a new object to the base that made it.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from BlackDynamite.base_zeo import BaseZEO
from BlackDynamite.zeoobject import ZEOObject

from motoko.store.internals import own_entries
from motoko.store.internals.self_check import Need, relies_on

_OBJECT = "BlackDynamite.zeoobject:ZEOObject"
relies_on(
    "BlackDynamite",
    Need("BlackDynamite.base_zeo:BaseZEO", "singleton_base"),
    Need(_OBJECT, "base"),
    Need(_OBJECT, "__init__", ("self",)),
    Need(_OBJECT, "update", ()),
    Need(_OBJECT, "getMatchedObjectList", ("self",)),
    Need(_OBJECT, "createTableRequest", ()),
)
_current: ContextVar[Any] = ContextVar("motoko_base", default=None)
_made_in: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_bases: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class _Singleton:
    """Stands in for ``BaseZEO.singleton_base``."""

    def __init__(self, opened_by_others: Any) -> None:
        self.opened_by_others = opened_by_others

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        current = _current.get()
        return self.opened_by_others if current is None else current


def register(base: Any) -> None:
    """Make objects of ``base``'s database know their base."""
    install()
    _bases[id(base.db)] = base


def use(base: Any) -> None:
    """Objects made from now on in this context belong to ``base``."""
    _current.set(base)


def install() -> None:
    """Patch BlackDynamite; harmless when repeated (BlackDynamite's way to open undoes a part)."""
    present = BaseZEO.__dict__["singleton_base"]
    if not isinstance(present, _Singleton):
        BaseZEO.singleton_base = _Singleton(present)
        if present is not None:
            _bases[id(present.db)] = present
    own_entries.install()
    if not isinstance(ZEOObject.__dict__["base"], _Base):
        ZEOObject.base = _Base()
        ZEOObject.__init__ = _noting_base(ZEOObject.__init__)
        for name in ("update", "getMatchedObjectList", "createTableRequest"):
            setattr(ZEOObject, name, _in_own_base(ZEOObject.__dict__[name]))


class _Base:
    """Stands in for the property ``ZEOObject.base``."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if instance._p_jar is not None:
            base = _bases.get(id(instance._p_jar.db()))
            if base is not None:
                return base
        return _made_in.get(instance) or BaseZEO.singleton_base


def _noting_base(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that notes the object's base: nothing else tells it before it is stored."""

    @functools.wraps(init)
    def wrapper(self: Any) -> None:
        current = BaseZEO.singleton_base
        if current is not None:
            _made_in[self] = current
        init(self)

    return wrapper


def _in_own_base(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that asks the singleton, made to ask its object's own base."""

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _current.set(self.base)
        try:
            return method(self, *args, **kwargs)
        finally:
            _current.reset(token)

    return wrapper
