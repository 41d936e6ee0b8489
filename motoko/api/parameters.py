"""Job and run parameters: merging with the study's defaults, checks, expansion. Pure logic."""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from motoko.config.declared_types import Unfit, fitted
from motoko.config.reserved_names import why_reserved
from motoko.errors import ParameterError
from motoko.store.values import check_parameters, plain, same


def merge(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults merged with a call's values: a dict updates a default dict, others replace it.

    Keys become lower case. Values are copied: changing the result changes neither argument.
    """
    merged = {key.lower(): copy.deepcopy(value) for key, value in defaults.items()}
    for key, value in given.items():
        key = key.lower()
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key].update(copy.deepcopy(value))
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def expand(space: Mapping[str, Any], types: Mapping[str, type]) -> list[dict[str, Any]]:
    """The points of a parameter space: the cartesian product of its lists, first key slowest.

    A parameter declared ``list`` is one value; tuples and arrays are never expanded.
    """
    axes = [
        value if isinstance(value, list) and types.get(key) is not list else [value]
        for key, value in space.items()
    ]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)]


def refuse_reserved(study: str, given: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise ``ParameterError`` for a run parameter that BlackDynamite or Motoko writes itself.

    Args:
        study: the study's name, for messages.
        given: the run parameters of a call.
        ours: the values that Motoko sets itself; a call may give the same values.
    """
    for name, value in given.items():
        why = why_reserved("run", name, given)
        if why and not (name.lower() in ours and same(value, ours[name.lower()])):
            raise ParameterError(
                f"study {study}: run_params: {name!r} cannot be given: {why}",
                hint="rename it; what a run comes after is given as createTask(after=...)",
            )


def check(
    study: str,
    kind: str,
    values: Mapping[str, Any],
    types: Mapping[str, type],
    *,
    undeclared: bool = False,
) -> dict[str, Any]:
    """The values, checked against the declared types; ``ParameterError`` where they do not fit.

    Args:
        study: the study's name, for messages.
        kind: ``"job"`` or ``"run"``, for messages.
        values: the values to store, by lower-case name.
        types: the declared parameters. Each of them must have a value.
        undeclared: whether undeclared parameters are allowed as well.
    """
    known = f"declared {kind} parameters: {_listed(types)}"
    for name in values:
        if name not in types and not undeclared:
            near = difflib.get_close_matches(name, types, 1)
            raise ParameterError(
                f"study {study}: there is no {kind} parameter {name!r}"
                + (f" (did you mean {near[0]!r}?)" if near else ""),
                hint=f"{known}, in {study}/bd.yaml",
            )
    for name, kind_of in types.items():
        if name not in values:
            raise ParameterError(
                f"study {study}: {kind} parameter {name!r} ({kind_of.__name__}) is not given",
                hint=f"{known}; give it in the call, or a default in {study}/bd.yaml",
            )
    # The contents of a job's containers are made plain later: earlier versions compared them as
    # given.
    checked = {
        name: _checked(study, kind, name, _plain_if_single(value), types.get(name))
        for name, value in values.items()
    }
    for name, value in checked.items():
        if name not in types and type(value).__module__ == "__main__":
            raise ParameterError(
                f"study {study}: {kind} parameter {name!r} is of the class "
                f"{type(value).__qualname__} of this script: no other process could read it",
                hint="give numbers, texts, lists, dicts, or define the class in a module",
            )
    if kind == "run":
        check_parameters(study, kind, {name: plain(checked[name]) for name in types})
    return checked


def _plain_if_single(value: Any) -> Any:
    return value if isinstance(value, (list, tuple, dict, set, frozenset)) else plain(value)


def _checked(study: str, kind: str, name: str, value: Any, expected: type | None) -> Any:
    if expected is None or isinstance(value, expected):
        return value
    if expected is list and type(value).__module__ == "numpy":
        return value.tolist()
    try:
        return fitted(value, expected)
    except Unfit:
        pass
    if callable(value):
        return value  # BlackDynamite's functor: it is computed from the job itself
    hint = f"the types are declared in {study}/bd.yaml"
    if not isinstance(value, (str, bytes)) and isinstance(value, Iterable):
        hint = f"a list makes a run for each value: {name}=[*values], .tolist() of arrays; {hint}"
    raise ParameterError(
        f"study {study}: {kind} parameter {name!r} is {value!r} ({type(value).__name__}), "
        f"not of type {expected.__name__}",
        hint=hint,
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
