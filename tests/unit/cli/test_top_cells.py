"""How the columns of `motoko top` fit a terminal."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from motoko.cli.render.top.cells import Column, fitted, line
from motoko.cli.top import command
from motoko.errors import ConfigError

COLUMNS = (
    Column("name", 6, weight=1),
    Column("n", 3, right=True),
    Column("less", 5, rank=1),
    Column("least", 5, rank=2),
)


def text(cells, width, columns=COLUMNS):
    return "".join(piece for piece, _ in line(columns, cells, width))


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (30, "abc           12  four   five "),
        (25, "abc      12  four   five "),
        (18, "abc      12  four "),
        (11, "abc      12"),
        (8, "abc    …"),
    ],
)
def test_what_is_least_goes_first(width, expected):
    shown = text(["abc", "12", "four", "five"], width)
    assert len(shown) == width and shown.split() == expected.split()


def test_long_cells_end_in_dots():
    assert text(["abcdefgh", "12345", "", ""], 11) == "abcde…  12…"
    assert text([[("abc", "red"), ("defgh", "")], "1", "", ""], 11) == "abcde…    1"


@given(
    cells=st.lists(st.text(max_size=30), min_size=4, max_size=4),
    width=st.integers(1, 120),
)
def test_each_line_is_as_wide_as_the_terminal(cells, width):
    assert cell_len(text(cells, width)) == width


def test_columns_without_rank_stay():
    assert [place for place, _ in fitted(COLUMNS, 1)] == [0, 1]


def test_textual_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(ConfigError, match="`motoko top` needs textual") as caught:
        command.callback(None)
    assert caught.value.hint == "pip install 'motoko[top]'"
