"""Regular expressions that never end are ended, and the next search works as before."""

import pytest

from motoko.runs import regex_search
from motoko.runs.regex_search import NotSearched, Searcher, searched

HOPELESS = [(r"(a+)+$", "a" * 60 + "b"), (r"x*y", "x" * 3_000_000)]
TEXT = "E = 1\nE = é\n"


def test_searches_with_a_limit(monkeypatch):
    monkeypatch.setattr(regex_search, "LIMIT_S", 0.2)
    search = Searcher()
    try:
        assert search(r"E = (\S+)", TEXT, last=True) == "é"
        for regex, text in HOPELESS:
            with pytest.raises(NotSearched, match="took too long"):
                search(regex, text, last=True)
        assert search(r"^E = (\S+)$", TEXT, last=False) == "1"
        assert search(r"F = (\S+)", TEXT, last=False) is None
        assert search(r"E(x)?", TEXT, last=True) is searched(r"E(x)?", TEXT, last=True) is None
    finally:
        search.close()
