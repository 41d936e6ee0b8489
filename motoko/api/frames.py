"""Tables of runs, and their conversion to pandas, Arrow and polars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from motoko.host.extras import extra
from motoko.reports.arrow_columns import arrow_column, pyarrow, zone_of

if TYPE_CHECKING:
    import pandas
    import polars

_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class RunTable:
    """Values of runs, in columns.

    Attributes:
        columns: the names of the columns, each once.
        rows: the values.
        tids: by study, the transaction as of which the values are read, where that is known.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    tids: dict[str, str] = field(default_factory=dict)

    def values(self) -> list[list[Any]]:
        """The values of each column."""
        return [[row[place] for row in self.rows] for place in range(len(self.columns))]

    def as_pandas(self) -> pandas.DataFrame:
        """The table as a ``pandas.DataFrame``."""
        import pandas

        series = [_series(pandas, values) for values in self.values()]
        frame = pandas.DataFrame(dict(enumerate(series)), index=range(len(self.rows)))
        frame.columns = pandas.Index(list(self.columns), dtype=object)
        return frame

    def as_arrow(self, what: str = "to_arrow()") -> Any:
        """The table as a ``pyarrow.Table``; ``ConfigError`` if pyarrow is missing."""
        arrow = pyarrow(what)
        arrays = [arrow_column(arrow, values, with_lists=True) for values in self.values()]
        metadata = {f"motoko.tid.{study}": tid for study, tid in self.tids.items()}
        return arrow.table(arrays, names=list(self.columns), metadata=metadata or None)

    def as_polars(self) -> polars.DataFrame:
        """The table as a ``polars.DataFrame``; ``ConfigError`` if polars or pyarrow is missing."""
        library = extra("polars", "table", "to_polars()")
        frame: polars.DataFrame = library.from_arrow(self.as_arrow("to_polars()"))
        return frame


def _series(pandas: Any, values: list[Any]) -> Any:
    """A column of the type that all values have; of objects, if there is no such type."""
    kinds = set(map(type, values))
    has_none = type(None) in kinds
    kinds.discard(type(None))
    if kinds == {bool}:
        return pandas.Series(values, dtype="boolean" if has_none else "bool")
    if kinds == {int} and all(value is None or value in _INT64 for value in values):
        return pandas.Series(values, dtype="Int64" if has_none else "int64")
    if kinds and kinds <= {int, float} and float in kinds:
        try:
            return pandas.Series([None if v is None else float(v) for v in values], dtype="float64")
        except OverflowError:  # an int is too large for a float
            pass
    if kinds == {datetime}:
        is_one, zone = zone_of(values)
        if is_one and zone is None:
            return pandas.Series(values, dtype="datetime64[us]")
        if is_one:
            return pandas.Series(
                pandas.to_datetime(values, utc=True).tz_convert(zone).as_unit("us")
            )
    return pandas.Series(values, dtype=object)
