"""Values of results as Arrow columns, each of one type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timezone, tzinfo
from typing import Any

from motoko.host.extras import extra
from motoko.reports.result_texts import as_text

_AS_THEY_ARE = {int, float, bool, str, datetime, date, type(None)}


def pyarrow(what: str) -> Any:
    """The module pyarrow; ``ConfigError`` if it is missing, which names what needs it."""
    return extra("pyarrow", "table", what)


def arrow_column(arrow: Any, values: Sequence[Any], *, with_lists: bool = False) -> Any:
    """A column of the type that all values have; of texts, if they have several.

    Ints among floats become floats. Times with different offsets are converted to UTC.

    Args:
        arrow: the module pyarrow.
        values: numbers, texts, bools and dates keep their types; other values become texts.
        with_lists: whether lists keep their type, too, if their elements have one type.
    """
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {list} and with_lists:
        try:
            return arrow.array(values)
        except (arrow.ArrowException, OverflowError):
            pass
    if not kinds <= _AS_THEY_ARE:
        values = [value if type(value) in _AS_THEY_ARE else as_text(value) for value in values]
        kinds = set(map(type, values)) - {type(None)}
    if kinds == {int, float}:
        try:
            return arrow.array(values, arrow.float64())
        except (arrow.ArrowException, OverflowError):
            pass
    elif kinds == {datetime}:
        is_one, zone = zone_of(values)
        if is_one:
            return arrow.array(values, arrow.timestamp("us", _name_of(zone)))
    elif len(kinds) < 2:
        try:
            return arrow.array(values)
        except (arrow.ArrowException, OverflowError):  # a number that does not fit into 64 bits
            pass
    return arrow.array([None if value is None else str(as_text(value)) for value in values])


def zone_of(times: Sequence[datetime | None]) -> tuple[bool, tzinfo | None]:
    """The zone of times: their own if all have the same, UTC if they have several.

    The first value is whether there is a common zone: there is none if only some times have a zone.
    """
    offsets = {time.utcoffset() for time in times if time is not None}
    if None in offsets:
        return len(offsets) == 1, None
    return True, timezone(*offsets) if len(offsets) == 1 else UTC  # type: ignore[arg-type]


def _name_of(zone: tzinfo | None) -> str | None:
    """Arrow's name of a zone: ``UTC``, ``+02:00``."""
    return None if zone is None else str(zone).removeprefix("UTC") or "UTC"
