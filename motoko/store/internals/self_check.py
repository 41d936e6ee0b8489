"""Whether the packages below have what Motoko relies on beyond their promises.

Each file of internals registers its own needs. So only what a process has imported anyway is
checked, and the check takes some microseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import CodeType
from typing import Any

from motoko.errors import UnsupportedPackage

# The versions that Motoko was last tested with; newer ones may have changed.
TESTED = {
    "BlackDynamite": "1.3.9",
    "BTrees": "6.5",
    "persistent": "6.9",
    "transaction": "5.1",
    "ZEO": "6.2",
    "ZODB": "6.4",
}


@dataclass(frozen=True)
class Need:
    """Something in a package that Motoko relies on.

    Attributes:
        owner: where it is, ``module:Class`` or a module.
        name: an attribute of the owner; empty if ``holds`` is the whole check.
        parameters: the function's parameters, in this order; others may follow.
        set_by: the method that sets the attribute, if only instances have it.
        holds: whether the package behaves as expected, where names do not tell.
        what: what ``holds`` checks, for the message.
    """

    owner: str
    name: str = ""
    parameters: tuple[str, ...] | None = None
    set_by: str = ""
    holds: Callable[[], bool] | None = None
    what: str = ""


_needs: list[tuple[str, Need]] = []
_checked = 0  # how many of the needs were met


def relies_on(package: str, *needs: Need) -> None:
    """Register what Motoko needs of a package; :func:`check` checks it."""
    _needs.extend((package, need) for need in needs)


def check() -> None:
    """Check all needs that have been registered and not checked yet.

    Raises ``UnsupportedPackage`` for the first need that is not met, and again at the next call.
    """
    global _checked
    for package, need in _needs[_checked:]:
        missing = _missing(need)
        if missing is not None:
            raise _error(package, missing)
        _checked += 1


def imported(package: str, module: str, name: str) -> Any:
    """A name of a module that is not part of the package's interface.

    Raises ``UnsupportedPackage`` if it is no longer there.
    """
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise _error(package, f"{module}.{name} is not there") from error


def _missing(need: Need) -> str | None:
    """How a need is not met, in words; ``None`` if it is met."""
    module, _, cls = need.owner.partition(":")
    place = need.owner.replace(":", ".")
    if need.holds is not None:
        try:
            return None if need.holds() else f"{need.what} has another shape"
        except Exception as error:  # noqa: BLE001 (whatever has changed)
            return f"{need.what} has another shape ({error!r})"
    owner: Any = None
    with contextlib.suppress(ImportError):
        owner = import_module(module)
        owner = getattr(owner, cls, None) if cls else owner
    if owner is None:
        return f"{place} is not there"
    if need.set_by:
        code = _code(getattr(owner, need.set_by, None))
        if code is None or need.name not in code.co_names:
            return f"{place}.{need.set_by}() sets no {need.name}"
        return None
    value = getattr(owner, need.name, _MISSING)
    if value is _MISSING:
        return f"{place}.{need.name} is not there"
    if need.parameters is None:
        return None
    if not callable(value):
        return f"{place}.{need.name} is no function"
    code = _code(value)  # a function written in C has none
    if code is not None and code.co_varnames[: len(need.parameters)] != need.parameters:
        return f"{place}.{need.name}() does not take {', '.join(need.parameters)}"
    return None


def _code(function: Any) -> CodeType | None:
    # Look through Motoko's own patches: they name the original function.
    code: CodeType | None = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code


_MISSING = object()


def _error(package: str, missing: str) -> UnsupportedPackage:
    import importlib.metadata  # slow to import, and needed only here

    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    return UnsupportedPackage(
        f"{package} {version} is not what this version of Motoko relies on: {missing}",
        hint=f"pip install '{package}=={TESTED[package]}' (what Motoko was tested with)",
    )
