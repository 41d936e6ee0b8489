"""The values of a column, in a few words."""

import pytest

from motoko.mirror.scalars import LeftOut
from motoko.reports.value_ranges import KEPT, ValueRange


def described(*values):
    one = ValueRange("x")
    one.add(values)
    return one.described


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((None, None), "no value"),
        ((4, 1, 2, 2), "1, 2, 4"),
        ((0.1 + 0.2,), "0.3"),
        (("b", "a"), "b, a"),
        ((True, False), "True, False"),
        (("a", 1), "a, 1"),
        (([1, 2], [1, 2]), "[1, 2]"),
        ((LeftOut("array of 3 MB"),), "<array of 3 MB>"),
        (range(20), "0 to 19 (20 values)"),
        (range(KEPT + 5), f"0 to {KEPT + 4} ({KEPT} or more values)"),
        ([f"v{k}" for k in range(9)], "v0, v1, v2, v3, v4 ... (9 values)"),
        (["x" * 50, "y" * 50], f"{'x' * 37}... ... (2 values)"),
        ((float("nan"), 1.0), "nan, 1"),
    ],
)
def test_described(values, text):
    assert described(*values) == text


def test_counted():
    one = ValueRange("x")
    one.add([1, None, 2.5])
    one.add([1])
    assert (one.count, one.different, one.is_numeric) == (3, 2, True)
    one.add([True])
    assert not one.is_numeric
