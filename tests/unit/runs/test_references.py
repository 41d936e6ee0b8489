"""How runs are named in messages."""

import pytest

from motoko.runs.references import described, in_words


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "solve.4"),
        ({"mesh": 6, "taper": 0.7}, "solve.4 (mesh=6, taper=0.7)"),
        ({"name": "a b", "on": True}, "solve.4 (name=a b, on=True)"),
        ({"text": "two\nlines"}, r"solve.4 (text='two\nlines')"),
    ],
)
def test_a_run_is_named_with_its_parameters(parameters, text):
    assert described("solve.4", parameters) == text


def test_long_values_and_many_of_them_are_shortened():
    assert in_words({"x": "a" * 1000}) == f"x={'a' * 27}..."
    many = in_words({f"parameter_{n}": n for n in range(100)})
    assert many.startswith("parameter_0=0, parameter_1=1") and many.endswith(", ...")
    assert len(many) <= 80
