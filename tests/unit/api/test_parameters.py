"""Parameters of jobs and runs: defaults, expansion, checks."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motoko.api.parameters import check, expand, merge
from motoko.errors import ParameterError
from motoko.store.values import plain

TYPES = {"x": float, "n": int, "name": str, "xs": list, "opts": dict}


class TestMerge:
    def test_call_replaces_defaults(self):
        assert merge({"x": [1.0, 2.0], "n": 3}, {"x": 5.0}) == {"x": 5.0, "n": 3}

    def test_dict_updates_dict(self):
        defaults = {"opts": {"a": 1, "b": 2}}
        assert merge(defaults, {"opts": {"b": 3}}) == {"opts": {"a": 1, "b": 3}}

    def test_dict_replaces_anything_else(self):
        assert merge({"opts": [1]}, {"opts": {"b": 3}}) == {"opts": {"b": 3}}
        assert merge({"opts": {"a": 1}}, {"opts": [3]}) == {"opts": [3]}

    def test_upper_case_names_are_the_same(self):
        assert merge({"Alpha": 1}, {"ALPHA": 2, "Beta": 3}) == {"alpha": 2, "beta": 3}

    def test_nothing_leaks_between_calls(self):
        defaults = {"opts": {"a": [1]}, "xs": [1, 2]}
        given_ = {"name": ["q"]}
        first = merge(defaults, given_)
        first["opts"]["a"].append(2)
        first["opts"]["c"] = 3
        first["xs"].append(3)
        first["name"].append("r")
        assert defaults == {"opts": {"a": [1]}, "xs": [1, 2]}
        assert given_ == {"name": ["q"]}
        assert merge(defaults, given_) == {"opts": {"a": [1]}, "xs": [1, 2], "name": ["q"]}

    def test_values_of_updating_dict_are_copies(self):
        update = {"opts": {"b": [1]}}
        merge({"opts": {}}, update)["opts"]["b"].append(2)
        assert update == {"opts": {"b": [1]}}


class TestExpand:
    def test_first_key_is_slowest(self):
        points = expand({"x": [1, 2], "n": [10, 20, 30]}, TYPES)
        assert [(p["x"], p["n"]) for p in points] == [
            (1, 10), (1, 20), (1, 30), (2, 10), (2, 20), (2, 30),
        ]  # fmt: skip

    def test_declared_list_is_one_value(self):
        assert expand({"xs": [1, 2], "n": [1, 2]}, TYPES) == [
            {"xs": [1, 2], "n": 1},
            {"xs": [1, 2], "n": 2},
        ]

    def test_tuples_and_arrays_are_not_expanded(self):
        array = numpy.arange(3)
        (point,) = expand({"x": (1, 2), "n": array, "name": "ab"}, TYPES)
        assert point["x"] == (1, 2) and point["n"] is array and point["name"] == "ab"

    def test_empty_list_gives_no_point(self):
        assert expand({"x": [], "n": [1, 2]}, TYPES) == []

    def test_nothing_to_expand(self):
        assert expand({}, {}) == [{}]

    @given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), max_size=3)))
    def test_count_and_order(self, space):
        points = expand(space, {})
        count = 1
        for values in space.values():
            count *= len(values)
        assert len(points) == count
        # Sorted by the positions in the lists, first key first.
        wide = {key: list(enumerate(values)) for key, values in space.items()}
        positions = [tuple(i for i, _ in p.values()) for p in expand(wide, {})]
        assert positions == sorted(positions)


class TestPlain:
    def test_numpy_scalars(self):
        assert type(plain(numpy.float64(1.5))) is float
        assert type(plain(numpy.int32(2))) is int
        assert type(plain(numpy.bool_(True))) is bool
        assert type(plain(numpy.array(3.0))) is float

    def test_others_stay(self):
        array = numpy.ones(2)
        assert plain(array) is array and plain("a") == "a"


class TestCheck:
    def test_unknown_names_what_is_known(self):
        with pytest.raises(ParameterError) as caught:
            check("mult", "job", {"x": 1.0, "nn": 1}, {"x": float, "n": int})
        error = caught.value
        assert "mult" in str(error) and "'nn'" in str(error) and "did you mean 'n'?" in str(error)
        assert "n, x" in error.hint and "mult/bd.yaml" in error.hint
        assert error.exit_code == 2

    def test_missing_names_the_type(self):
        with pytest.raises(ParameterError) as caught:
            check("mult", "run", {}, {"depth": int})
        assert "mult: run parameter 'depth' (int) is not given" in str(caught.value)
        assert "depth" in caught.value.hint

    @pytest.mark.parametrize(
        ("kind", "value", "stored"),
        [
            (int, 2.0, 2),
            (float, 2, 2),
            (bool, 0, False),
            (bool, 1.0, True),
            (str, 3, "3"),
            (str, 0.5, "0.5"),
            (complex, 2, 2 + 0j),
            (tuple, [1, 2], (1, 2)),
            (list, (1, 2), [1, 2]),
            (set, [1, 2], {1, 2}),
            (object, [1], [1]),
            (int, numpy.float64(2.0), 2),
            (int, None, None),
        ],
    )
    def test_what_loses_nothing_is_converted(self, kind, value, stored):
        found = check("mult", "job", {"x": value}, {"x": kind})["x"]
        assert found == stored and type(found) is type(stored)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [(int, 2.5), (int, float("inf")), (bool, 2), (float, "1.5"), (set, [1, 1]), (str, b"a")],
    )
    def test_what_would_lose_something_is_not(self, kind, value):
        with pytest.raises(ParameterError):
            check("mult", "job", {"x": value}, {"x": kind})

    @pytest.mark.parametrize(
        ("name", "value", "expected", "found"),
        [
            ("x", "abc", "float", "str"),
            ("x", (1.0,), "float", "tuple"),
            ("n", 1.5, "int", "float"),
            ("n", "1", "int", "str"),
            ("name", [1], "str", "list"),
            ("name", True, "str", "bool"),
            ("xs", "abc", "list", "str"),
            ("xs", {}, "list", "dict"),
            ("opts", [1], "dict", "list"),
            ("x", numpy.ones(2), "float", "ndarray"),
        ],
    )
    def test_wrong_type(self, name, value, expected, found):
        with pytest.raises(ParameterError) as caught:
            check("mult", "job", {name: value}, {name: TYPES[name]})
        text = str(caught.value)
        assert "mult" in text and repr(name) in text and expected in text and found in text

    def test_accepted(self):
        assert check("s", "job", {"x": 1}, {"x": float}) == {"x": 1}
        assert check("s", "job", {"xs": (1, 2)}, {"xs": list}) == {"xs": [1, 2]}
        found = check("s", "job", {"xs": numpy.arange(2.0)}, {"xs": list})
        assert type(found["xs"]) is list and type(found["xs"][0]) is float
        assert type(check("s", "job", {"n": numpy.int64(1)}, {"n": int})["n"]) is int
        assert check("s", "job", {"n": True}, {"n": bool}) == {"n": True}

    def test_functors_pass(self):
        def twice(job):
            return 2 * job.x

        assert check("s", "job", {"x": twice}, {"x": float}) == {"x": twice}

    def test_undeclared_only_where_allowed(self):
        assert check("s", "run", {"y": 1}, {}, undeclared=True) == {"y": 1}
        with pytest.raises(ParameterError):
            check("s", "run", {"y": 1}, {})
