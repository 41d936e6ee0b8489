"""Texts that can be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motoko.host.printable import printable, shortened


def test_nothing_controls_the_terminal():
    assert printable("a\x1b[31m\nb\t\x9bc \ud800") == "a\N{REPLACEMENT CHARACTER}[31m b " + (
        "\N{REPLACEMENT CHARACTER}c \N{REPLACEMENT CHARACTER}"
    )
    assert printable("a\nb\x1b", "\n") == "a\nb\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("text", "short"),
    [("", ""), ("x = 12", "x = 12"), ("x  =\n 123", "x = 123"), ("x = 1234", "x = ...")],
)
def test_long_texts_end_in_dots(text, short):
    assert shortened(text, 7) == short


@given(text=st.text(), most=st.integers(3, 20))
def test_what_is_shown_is_one_short_line(text, most):
    short = shortened(text, most)
    assert len(short) <= most and short.isprintable()
