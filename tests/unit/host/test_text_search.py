"""Texts are found in data that comes in parts."""

import pytest

from motoko.host.text_search import TextSearch


@pytest.mark.parametrize("size", range(1, 12))
def test_wherever_the_parts_begin(size):
    data = b"some sec\xffret, sec, secret!"
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    passed = list(TextSearch({"secret": "it", "absent": "another"}).through(parts))
    assert [part for part, _ in passed] == parts
    end = data.index(b"secret") + len("secret")
    assert [what for _, what in passed].count("it") == 1
    (place,) = [number for number, (_, what) in enumerate(passed) if what == "it"]
    assert place * size < end <= (place + 1) * size


def test_with_what_is_before():
    search = TextSearch({"n\nb": "both"})
    assert list(search.through([b"begin"], b"n\n")) == [(b"begin", "both")]
    assert list(search.through([b"egin"], b"n\n")) == [(b"egin", None)]


@pytest.mark.parametrize("texts", [{}, {"x": "one letter"}])
def test_nothing_is_kept_of_earlier_parts(texts):
    search = TextSearch(texts)
    assert [what for _, what in search.through([b"a"] * 3)] == [None] * 3
    assert search._kept == 0
