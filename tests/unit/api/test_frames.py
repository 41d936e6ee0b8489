"""Tables of results as pandas, Arrow and polars have them: types, and what is no value."""

import math
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import pandas
import pytest

from motoko.api.frames import RunTable
from motoko.errors import ConfigError
from motoko.mirror.scalars import LeftOut

AT = datetime(2030, 7, 31, 12, 0, 0, 5)
ZONE = timezone(timedelta(hours=2))
COLUMNS = {
    "id": [1, 2, 3],
    "n": [2**62, None, -1],
    "huge": [2**70, None, 1],
    "x": [1.5, math.nan, None],
    "number": [1, 2.5, None],
    "is_done": [True, None, False],
    "text": ["a", None, "é"],
    "list": [[1, 2], None, []],
    "at": [AT, None, AT.replace(year=3000)],
    "there": [AT.replace(tzinfo=ZONE), None, AT.replace(tzinfo=ZONE)],
    "anywhere": [AT.replace(tzinfo=ZONE), AT.replace(tzinfo=UTC), None],
    "both": [AT, AT.replace(tzinfo=UTC), None],
    "day": [date(2030, 1, 1), None, date(2031, 1, 1)],
    "mixed": [1, "x", True],
    "lists": [[1], ["x", 2], {"a": 1}],
    "dict": [{"a": 1}, {}, None],
    "nothing": [None, None, None],
    "large": [LeftOut("numpy.ndarray"), None, None],
}
TABLE = RunTable(list(COLUMNS), list(zip(*COLUMNS.values(), strict=True)), {"solve": "03f8"})


def test_pandas():
    frame = TABLE.as_pandas()
    assert list(frame.columns) == list(COLUMNS) and list(frame.index) == [0, 1, 2]
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types == {
        **dict.fromkeys(COLUMNS, "object"),
        **{"id": "int64", "n": "Int64", "x": "float64", "number": "float64"},
        **{"is_done": "boolean", "at": "datetime64[us]"},
        **{"there": "datetime64[us, UTC+02:00]", "anywhere": "datetime64[us, UTC]"},
    }
    for name, values in COLUMNS.items():
        for value, found in zip(values, frame[name], strict=True):
            if value is None or value != value:
                assert found is None or pandas.isna(found)
            else:
                assert found == value
    assert frame["n"][0] == 2**62 and type(frame["mixed"][2]) is bool
    assert frame["text"][1] is None and frame["list"][0] == [1, 2]


def test_arrow():
    pytest.importorskip("pyarrow")
    table = TABLE.as_arrow()
    assert table.column_names == list(COLUMNS)
    assert table.schema.metadata == {b"motoko.tid.solve": b"03f8"}
    types = {f.name: str(f.type).replace("element", "item") for f in table.schema}
    assert types == {
        **dict.fromkeys(COLUMNS, "string"),
        **{"id": "int64", "n": "int64", "x": "double", "number": "double", "is_done": "bool"},
        **{"list": "list<item: int64>", "at": "timestamp[us]", "day": "date32[day]"},
        **{"there": "timestamp[us, tz=+02:00]", "anywhere": "timestamp[us, tz=UTC]"},
        "nothing": "null",
    }
    columns = table.to_pydict()
    assert math.isnan(columns["x"][1]) and columns["x"][2] is None
    for name in ("n", "is_done", "text", "list", "at", "there", "anywhere", "day", "nothing"):
        assert columns[name] == COLUMNS[name], name
    assert columns["mixed"] == ["1", "x", "True"] and columns["dict"][0] == '{"a": 1}'
    assert columns["lists"] == ["[1]", '["x", 2]', '{"a": 1}']
    assert columns["large"][0] == "<numpy.ndarray>" and columns["huge"][0] == str(2**70)


def test_polars():
    pytest.importorskip("polars")
    frame = TABLE.as_polars()
    assert frame.columns == list(COLUMNS) and frame.shape == (3, len(COLUMNS))
    assert frame["n"].to_list() == COLUMNS["n"] and frame["list"].to_list() == COLUMNS["list"]
    assert frame["there"].to_list()[0] == COLUMNS["there"][0]


def test_without_rows():
    table = RunTable(["id", "x"], [])
    assert list(table.as_pandas().columns) == ["id", "x"] and len(table.as_pandas()) == 0
    pytest.importorskip("polars")
    assert table.as_polars().columns == table.as_arrow().column_names == ["id", "x"]


@pytest.mark.parametrize(
    ("missing", "make"),
    [("pyarrow", "as_arrow"), ("pyarrow", "as_polars"), ("polars", "as_polars")],
)
def test_libraries_that_are_missing(monkeypatch, missing, make):
    monkeypatch.setitem(sys.modules, missing, None)
    if make == "as_polars" and missing == "pyarrow":
        pytest.importorskip("polars")
    with pytest.raises(ConfigError, match=missing) as caught:
        getattr(TABLE, make)()
    assert caught.value.hint == "pip install 'motoko[table]'"
