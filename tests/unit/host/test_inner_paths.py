"""Paths that others have written down lead into a directory, or are refused."""

import pytest

from motoko.host.inner_paths import first_wrong, why_wrong


@pytest.mark.parametrize("name", ["a", "a/b", "a b/..c/.d", "a\\b", "ü/…"])
def test_paths_that_stay(name):
    assert why_wrong(name) is None


@pytest.mark.parametrize(
    "name", ["", "/a", "/", "..", "../a", "a/../../b", "a/..", "./a", "a//b", "a/", "a\0b", "//h/a"]
)
def test_paths_that_lead_out(name):
    assert why_wrong(name)
    assert repr(name) in first_wrong(["fine", name])


def test_nothing_is_below_a_link():
    names = ["a", "a/b/c", "ab/c"]
    assert first_wrong(names) is None
    assert first_wrong(names, {"ab"}) == "'ab/c' is below 'ab', which is a link"
    assert first_wrong(names, {"a/b"}) == "'a/b/c' is below 'a/b', which is a link"
    assert first_wrong(names, {"a/b/c", "b"}) is None
