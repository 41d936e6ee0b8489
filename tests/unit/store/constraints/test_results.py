"""Results that runs carry, compared with constraints: as values, or not at all."""

import decimal
import fractions
import pathlib
from datetime import date, datetime, timedelta

import numpy
import pytest
from constraint_fields import holds

from motoko.errors import ConstraintError
from motoko.store.literals import quote

ORDERED = {
    "9": (decimal.Decimal(10), decimal.Decimal(100), fractions.Fraction(19, 2), numpy.float32(10)),
    "[1, 9]": ([1, 10], [2], numpy.array([1, 10])),
    "(1, 9)": ((1, 10),),
    "2026-05-09": (date(2026, 5, 10), datetime(2026, 5, 9, 1)),
}


@pytest.mark.parametrize("text", ORDERED)
def test_results_are_compared_as_values(text):
    for value in ORDERED[text]:
        run = {"id": 3, "cost": value}
        assert not holds(f"cost < '{text}'", run) and not holds(f"cost <= '{text}'", run)
        assert holds(f"cost > '{text}'", run) and holds(f"cost >= '{text}'", run)
        assert not holds(f"cost = '{text}'", run) and holds(f"cost != '{text}'", run)


def test_results_are_equal_as_values():
    for text, value in {
        "10": decimal.Decimal("10.0"),
        "1/2": fractions.Fraction(1, 2),
        "[1,2.0]": [1, 2],
        "{'b': 2, 'a': 1}": {"a": 1, "b": 2},
        "{2, 1}": {1, 2},
        "[[1], [2]]": numpy.array([[1], [2]]),
        "1+2j": 1 + 2j,
        "/tmp/x": pathlib.PurePosixPath("/tmp/x"),
    }.items():
        quoted = quote(text)
        assert holds(f"cost = {quoted}", {"cost": value}), text
        assert not holds(f"cost != {quoted}", {"cost": value}), text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([10], "list"),
        ((10,), "tuple"),
        (numpy.array([10.0, 2]), "ndarray"),
        ({"a": 1}, "dict"),
        ({1}, "set"),
        (1 + 2j, "complex"),
        (object(), "object"),
        (timedelta(1), "timedelta"),
        (["a", 1], "list"),
    ],
    ids="abcdefghi",
)
def test_what_has_no_order(value, kind):
    for op in ("<", "<=", ">", ">="):
        with pytest.raises(ConstraintError, match=rf"run 3: cost is of type {kind}.* cost {op} 9"):
            holds(f"cost {op} 9", {"id": 3, "cost": value})
    assert not holds("cost < 9", {"id": 4}) and holds("cost != 9", {"id": 3, "cost": value})
