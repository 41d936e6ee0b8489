"""Values are the same or not, whoever asks: exactly, with their types, at any depth."""

import datetime
import enum
import pickle
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motoko.store.values import NoStableValue, check_stable, digest, plain, same, same_parameter

NAN = float("nan")
LONG = np.arange(2000.0)
OTHER = LONG.copy()
OTHER[1000] += 1e-9


class Color(enum.StrEnum):
    RED = "red"


class Plain:
    """Without ``__eq__``."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2, 2.0),
        (1, True),
        ([2], [2.0]),
        ([1], [True]),
        ([1, 2], (1, 2)),
        ({1: "a"}, {"1": "a"}),
        ({"a": 1}, {"a": 1.0}),
        ("1", 1),
        (b"a", "a"),
        (["ab", "c"], ["a", "bc"]),
        ([[1], 2], [[1, 2]]),
        ([[]], [()]),
        ({"a": None}, {}),
        (LONG, OTHER),
        ({"deep": [LONG]}, {"deep": [OTHER]}),
        (np.array([1]), np.array([1.0])),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.array([1, "a"], object), np.array([1, "b"], object)),
        (np.float32(0.1), np.float64(0.1)),
        (Decimal("1.5"), Fraction(3, 2)),
        (Plain(1), Plain(2)),
        (datetime.datetime(2026, 1, 1), datetime.date(2026, 1, 1)),
        ({1, 2}, frozenset({1, 2})),
        (0.1 + 0.2, 0.3),
    ],
)
def test_different(one, other):
    assert not same(one, other) and not same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAN, float("nan")),
        ([NAN], [-NAN]),
        ({"x": complex(NAN, 1)}, {"x": complex(NAN, 1)}),
        (np.array([NAN, -0.0]), np.array([-NAN, 0.0])),
        (0.0, -0.0),
        (LONG, LONG.copy()),
        (LONG[::2], LONG[::2].copy()),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
        (np.array([1.5], ">f8"), np.array([1.5], "<f8")),
        (np.longdouble(1) / 3, np.longdouble(1) / 3),
        (np.array([1], np.longdouble), np.array([1], np.longdouble)),
        ({"a": 1, 2: "b"}, {2: "b", "a": 1}),
        ({"a", "b", 1, None}, {None, 1, "b", "a"}),
        (Plain([1, "a"]), Plain([1, "a"])),
        (2**200, 2**200),
        ("\ud800", "\ud800"),
    ],
)
def test_same(one, other):
    assert same(one, other) and same(other, one)
    assert same(one, pickle.loads(pickle.dumps(one)))


def test_a_number_is_what_its_declared_type_makes_of_it():
    assert same_parameter(2, 2.0) and same_parameter(True, 1) and same_parameter(NAN, float("nan"))
    assert not same_parameter(10**17 + 1, float(10**17)) and not same_parameter([2], [2.0])
    assert digest({"x": 2}) == digest({"x": 2.0}) != digest({"x": [2]}) != digest({"x": [2.0]})


def test_names_count():
    assert digest({"y": 1, "z": 2}) != digest({"x": 1, "y": 2})
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_the_digest_stays_what_it_is():
    """Digests in databases must be found by later versions, too."""
    values = {
        "a": {"x": [1, 2.5, None, True], 3: {"p", "q", 7}},
        "b": Decimal("1.10"),
        "c": np.array([[1.0, NAN], [0.0, 3.0]]),
        "d": PurePosixPath("/a/b"),
        "e": datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
    }
    assert digest(values) == "99d4e9f1ca3df5a42c9080c125dbdf442a66d67a6a3050466de4d21275c33582"


def test_plain():
    numbers = [np.float64(0.5), np.int64(3), np.bool_(True), np.str_("x"), np.float32(0.5)]
    value = plain({"a": numbers, np.int8(1): (np.array(2.0), Color.RED)})
    assert repr(value) == "{'a': [0.5, 3, True, 'x', 0.5], 1: (2.0, 'red')}"
    array = np.arange(3)
    assert plain([array])[0] is array


def test_what_no_other_process_has():
    loop: list[object] = []
    loop.append(loop)
    for value in (Plain(1), [Plain(1)], {"a": {"b": object()}}, print, np.array([Plain(1)]), loop):
        with pytest.raises(NoStableValue):
            check_stable(value)
    with pytest.raises(NoStableValue, match=r"of type decimal\.Context"):
        check_stable([__import__("decimal").getcontext()])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_drawn_values(one, other):
    assert same(one, pickle.loads(pickle.dumps(one)))
    if same(one, other):
        assert "nan" in repr(one) or one == other
