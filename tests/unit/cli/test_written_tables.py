"""Results as files."""

import csv
import datetime
import json
from pathlib import Path

import pytest

from motoko.cli.render import written_tables
from motoko.errors import CannotWrite, ConfigError
from motoko.mirror.scalars import LeftOut

COLUMNS = ["n", "x", "text", "is_done", "at", "mixed", "list", "nothing", "large"]
AT = datetime.datetime(2030, 1, 31, 12, 0, 0, 5)
ROWS = [
    [1, 1.5, "a,\n'\"é", True, AT, 1, [1, 2], None, LeftOut("str of 5,000")],
    [None, float("inf"), "", None, None, "x", {"a": 1}, None, None],
    [-(2**62), 2, None, False, AT, 2.5, None, None, None],
]
TIDS = {"mult": "03f8"}


def written(form, path, rows=ROWS):
    written_tables.write(COLUMNS, written_tables.in_parts(rows), form, path, TIDS)
    return path


def test_csv(tmp_path):
    with open(written("csv", tmp_path / "r.csv"), newline="") as file:
        head, *rows = csv.reader(file)
    assert head == COLUMNS
    assert rows[0] == [
        *("1", "1.5", "a,\n'\"é", "True", str(AT), "1", "[1, 2]", "", "<str of 5,000>")
    ]
    assert rows[1][:4] == ["", "inf", "", ""]


def test_json(tmp_path):
    rows = json.loads(written("json", tmp_path / "r.json").read_text())
    assert rows[0]["text"] == ROWS[0][2] and rows[0]["list"] == [1, 2] and rows[0]["at"] == str(AT)
    assert rows[1]["x"] is None and rows[2]["n"] == -(2**62)
    lines = written("jsonl", tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert json.loads(written("json", tmp_path / "none.json", []).read_text()) == []


def test_parquet(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(written_tables.parquet_files, "AT_ONCE", 1)
    table = parquet.read_table(written("parquet", tmp_path / "r.parquet"))
    assert table.column_names == COLUMNS
    assert table.schema.metadata[b"motoko.tid.mult"] == b"03f8"
    columns = table.to_pydict()
    assert columns["n"] == [1, None, -(2**62)]
    assert columns["x"] == [1.5, float("inf"), 2.0]
    assert columns["is_done"] == [True, None, False] and columns["at"] == [AT, None, AT]
    assert columns["mixed"] == ["1", "x", "2.5"] and columns["list"][0] == "[1, 2]"
    assert columns["nothing"] == [None] * 3 and columns["large"][0] == "<str of 5,000>"
    assert parquet.read_table(written("parquet", tmp_path / "none.parquet", [])).num_rows == 0


@pytest.mark.parametrize("types", [[], [float] * 5 + [int] + [str] * 3, [None] * 9])
def test_types_that_come_later(tmp_path, types):
    """A column gets a type that has a place for all of its values, whatever was expected."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "r.parquet"
    rows = [*ROWS[1:], *[ROWS[0]] * 4]
    parts = [list(zip(row, strict=True)) for row in rows]
    written_tables.write(COLUMNS, parts, "parquet", path, TIDS, types)
    table = parquet.read_table(path)
    columns = table.to_pydict()
    assert table.num_rows == 6 and [*tmp_path.iterdir()] == [path]
    assert columns["x"] == [float("inf"), 2.0, *[1.5] * 4]
    assert columns["mixed"] == ["x", "2.5", *["1"] * 4] and columns["list"][2] == "[1, 2]"
    if types != [float] * 5 + [int] + [str] * 3:
        assert columns["n"] == [None, -(2**62), *[1] * 4] and columns["at"] == [None, AT, *[AT] * 4]


def test_without_pyarrow(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="needs pyarrow"):
        written_tables.form_of(None, Path("r.parquet"))


def test_what_it_is_written_as():
    assert written_tables.form_of(None, None) == "table"
    assert written_tables.form_of(None, Path("a.CSV")) == "csv"
    assert written_tables.form_of("json", Path("a.csv")) == "json"
    for output in ("a.txt", "a", "csv"):
        with pytest.raises(ConfigError, match="its name"):
            written_tables.form_of(None, Path(output))


def test_nothing_is_left_of_what_fails(tmp_path):
    def rows():
        yield ROWS[0]
        raise ValueError("broken")

    path = tmp_path / "r.csv"
    path.write_text("before")
    with pytest.raises(ValueError, match="broken"):
        written("csv", path, rows())
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "none" / "results.csv"
    with pytest.raises(CannotWrite, match=f"{path} cannot be written: No such file"):
        written_tables.write(["x"], [[[1]]], "csv", path, {})
    kept = tmp_path / "kept"
    kept.write_text("before")
    with (
        pytest.raises(FileNotFoundError, match="other"),
        written_tables.replaced(kept) as temporary,
    ):
        temporary.write_text("half")
        (tmp_path / "other").read_text()
    assert kept.read_text() == "before" and [*tmp_path.iterdir()] == [kept]
