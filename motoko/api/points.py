"""Points of a parameter space that a call lists one by one, not as a product. Pure logic."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from motoko.api.parameters import check, expand
from motoko.errors import ParameterError
from motoko.host.printable import shortened
from motoko.store.values import check_parameters, plain

HOW = "give a list of dicts, points=[{'x': 1.0}, {'x': 2.5}], or a pandas DataFrame"


def points_of(study: str, given: Any) -> Iterator[dict[str, Any]]:
    """Points, one after the other, as dicts of values by lower-case name; all values are copies.

    Args:
        study: the study's name, for messages.
        given: mappings, or a DataFrame whose columns are the parameters.

    Raises ``ParameterError``, which names the point, if it is not one or has a name twice.
    """
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ParameterError(f"study {study}: points is {_short(given)}: no points", hint=HOW)
    for number, point in enumerate(_rows(study, given)):
        if not isinstance(point, Mapping):
            raise ParameterError(
                f"study {study}: {place(number)} is {_short(point)}: no dict of values", hint=HOW
            )
        names = [name for name in point if not isinstance(name, str)]
        if names:
            raise ParameterError(
                f"study {study}: {place(number)} has {names[0]!r} for a name", hint=HOW
            )
        values = {name.lower(): copy.deepcopy(value) for name, value in point.items()}
        if len(values) < len(point):
            raise ParameterError(
                f"study {study}: {place(number)} has a parameter twice: {', '.join(point)}",
                hint="capital letters make no other parameter",
            )
        yield values


def place(number: int) -> str:
    """A point's name in messages: its index in Python, from 0."""
    return f"points[{number}]"


def on_space(
    study: str,
    space: Mapping[str, Any],
    points: Iterable[Mapping[str, Any]],
    types: Mapping[str, type],
    *,
    fixed: Iterable[str] = (),
    named: Callable[[int], str] = place,
) -> list[dict[str, Any]]:
    """Each point with the space's values, which are for all points; checked, in the points' order.

    A list in the space gives, for each point, one job for each of its elements. A list in a point
    is one value. A dict in a point updates the space's dict.

    Args:
        study: the study's name, for messages.
        space: values by lower-case name.
        points: the points, each with its values by lower-case name.
        types: the declared parameters.
        fixed: the names in the space that no point may have as well.
        named: gives a point's name in messages, from its number (which counts from 0).

    Raises ``ParameterError``, which names the point and the value, if a value does not fit.
    """
    fixed = set(fixed)
    jobs = []
    rests: dict[frozenset[str], list[dict[str, Any]]] = {}
    for number, point in enumerate(points):
        if twice := fixed & point.keys():
            name = min(twice)
            raise ParameterError(
                f"study {study}: {named(number)} has {name!r}, which is given for all points, too",
                hint="give it once: in the points, or for all of them",
            )
        names = frozenset(name for name in point if not isinstance(space.get(name), dict))
        if names not in rests:
            rest = {name: value for name, value in space.items() if name not in names}
            rests[names] = expand(rest, types)
        for values in rests[names]:
            job = {**values, **point}
            for name, value in point.items():
                if isinstance(value, dict) and isinstance(values.get(name), dict):
                    job[name] = {**values[name], **value}
            try:
                job = check(study, "job", job, types)
                held = {name: plain(value) for name, value in job.items() if not callable(value)}
                check_parameters(study, "job", held)
            except ParameterError as error:
                text = str(error).removeprefix(f"study {study}: ")
                raise ParameterError(
                    f"study {study}: {named(number)}: {text}", hint=error.hint
                ) from None
            jobs.append(job)
    return jobs


def _rows(study: str, given: Iterable[Any]) -> Iterator[Any]:
    pandas: Any = sys.modules.get("pandas")  # a caller that has a DataFrame has imported pandas
    if pandas is None or not isinstance(given, pandas.DataFrame):
        yield from given
        return
    if not given.columns.is_unique:
        raise ParameterError(
            f"study {study}: points has a column twice: {', '.join(map(str, given.columns))}",
            hint=HOW,
        )
    columns = [given[name].tolist() for name in given.columns]  # with Python's own numbers
    for number, row in enumerate(zip(*columns, strict=True)):
        for name, value in zip(given.columns, row, strict=True):
            # pandas marks a missing value with not-a-number.
            if pandas.api.types.is_scalar(value) and pandas.isna(value):
                raise ParameterError(
                    f"study {study}: {place(number)}: {name!r} has no value ({value!r})",
                    hint="drop the row (dropna), or give points as dicts if it is meant",
                )
        values = [v.to_pydatetime() if isinstance(v, pandas.Timestamp) else v for v in row]
        yield dict(zip(given.columns, values, strict=True))


def _short(value: Any) -> str:
    return f"{shortened(repr(value), 80)} ({type(value).__name__})"
