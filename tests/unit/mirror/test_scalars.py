"""What the mirror keeps of values, and what it gives back."""

import datetime
import math

import numpy as np
import pytest
from BTrees.OOBTree import OOBucket
from hypothesis import example, given
from hypothesis import strategies as st
from ZODB.serialize import ObjectWriter

from motoko.mirror.scalars import ABSENT, LONG, PLAIN, LeftOut, kept, restored
from motoko.store.records import node

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 200), 1 << 200)
    | st.floats()
    | st.text()
    | st.text(st.characters(codec=None, categories=["Cs", "L"]))
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.dates()
    | st.binary(max_size=100)
    | st.complex_numbers(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def same(one, other):
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    # Of complex numbers the signs of zeros are lost: Python's own texts of them do not keep these.
    is_exact = repr(one) == repr(other) or "j" in repr(one)
    return type(one) is type(other) and one == other and is_exact


@given(VALUES)
@example(datetime.datetime(2030, 10, 27, 2, 30, fold=1))
@example(datetime.datetime(2030, 10, 27, 2, 30, tzinfo=datetime.UTC, fold=1))
def test_it_comes_back(value):
    """With its type and all of it; or it is said that it was left out."""
    kind, stored = kept(value)
    assert stored is None or type(stored) in (int, float, str)
    back = restored(kind, stored)
    assert (kind == ABSENT and isinstance(back, LeftOut)) or same(value, back)


@given(SCALARS)
def test_scalars_are_kept(value):
    assert kept(value)[0] != ABSENT


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("x" * (LONG + 1), "str of 4,097"),
        (list(range(LONG)), "list of 4,096"),
        ([[0] * 10] * LONG, "list of 4,096"),
        (b"x" * LONG, "bytes of 4,096"),
        ({"a": "x" * LONG}, "dict of 1"),
        (10**100_000, "int"),
        (object(), "object"),
        ([object()], "list of 1"),
    ],
    ids=map(str, range(8)),
)
def test_what_is_left_out(value, what):
    assert kept(value) == (ABSENT, what)
    assert repr(restored(*kept(value))) == f"<{what}>"


def test_what_holds_itself():
    value = []
    value.append(value)
    assert kept(value) == (ABSENT, "list of 1")


def read_again(value):
    """A value as it is read from the database's records."""
    writer = ObjectWriter()
    record = writer._dump((OOBucket, None), (("x", value),))
    ((_, read),) = node(record).items
    return read


NUMPY = [
    *(np.float64(0.1), np.float32(0.1), np.float16(1.5), np.int8(-3), np.uint64(1 << 63)),
    *(np.int64(-7), np.bool_(True), np.complex128(1 + 2j), np.complex64(1j)),
    *(np.str_("é\U0001f600"), np.bytes_(b"ab"), np.array([1.5], ">f8")[0], np.float64("nan")),
]


@pytest.mark.parametrize("value", NUMPY, ids=repr)
def test_numpys_scalars(value):
    """Read from a record without numpy, they are Python's own."""
    read = read_again(value)
    assert same(value.item(), read)
    assert kept(read)[0] != ABSENT


@pytest.mark.parametrize("value", [np.datetime64("2030-01-31"), np.zeros(3), np.longdouble(1)])
def test_numpys_others(value):
    read = read_again(value)
    assert kept(read)[0] == ABSENT


def test_none_is_nothing():
    assert kept(None) == (PLAIN, None)
    assert restored(PLAIN, None) is None
