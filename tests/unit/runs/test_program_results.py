"""Results that are read from what a program leaves: each way, each kind of file, each fault."""

import os

import pytest

from motoko.config.result_rules import ResultRule
from motoko.runs import program_results
from motoko.runs.program_results import NoResult, read_results
from motoko.runs.regex_search import NotSearched

RUN = {"id": 7, "run_name": "a/b"}


@pytest.fixture
def read(tmp_path):
    """Read one result: of a text in a file ``f``, or of standard output."""

    def one(content=None, *, stdout="", attempt=1, **rule):
        (tmp_path / "a_b.o7").write_text(stdout)
        if content is not None:
            (tmp_path / "f").write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        rules = {"e": ResultRule(**({"file": "f"} if content is not None else {}) | rule)}
        return read_results(rules, tmp_path, RUN, attempt)["e"]

    return one


ITERATIONS = "E = 1\nE = 2.5\nend\n"
NESTED = '{"a": {"b": [1, {"c": 2.5}]}, "n": null, "s": "text"}'


@pytest.mark.parametrize(
    ("content", "rule", "value"),
    [
        (ITERATIONS, {"regex": r"E = (\S+)"}, 2.5),
        (ITERATIONS, {"regex": r"^E = (\S+)$", "which": "first", "type": "int"}, 1),
        ("E = -1.5D+03", {"regex": r"E = (\S+)"}, -1500.0),
        ("x: nan", {"regex": "x: (.*)", "type": "str"}, "nan"),
        ("converged: Yes", {"regex": "converged: (.*)", "type": "bool"}, True),
        (NESTED, {"json": "a.b[1].c"}, 2.5),
        (NESTED, {"json": "a.b[-2]", "type": "int"}, 1),
        (NESTED, {"json": "s", "type": "str"}, "text"),
        (b"\xef\xbb\xbf" + NESTED.encode(), {"json": "a.b[0]"}, 1.0),
        ("a: {b: [3]}", {"yaml": "a.b[0]"}, 3.0),
        ("n,e\n1,2\n2,4.5\n", {"csv": "e"}, 4.5),
        ("n; e\n1; 2\n2; 4\n", {"csv": "e", "which": "first", "type": "int"}, 2),
        ('n,"e, total"\n1,"2"\n', {"csv": "e, total"}, 2.0),
        ("# n  e\n 1  2\n# note\n 2  4\n", {"csv": "e"}, 4.0),
        ("n\te\r\n1\t2\r\n", {"csv": "e"}, 2.0),
    ],
)
def test_values(read, content, rule, value):
    found = read(content, **rule)
    assert found == value and type(found) is type(value)


def test_standard_output(read):
    assert read(stdout=ITERATIONS, regex=r"E = (\S+)") == 2.5
    assert read(stdout=NESTED, json="a.b[0]") == 1.0


MISSING = [
    ("", {"regex": "(E)"}, "'(E)' matches nothing in f"),
    (NESTED, {"json": "a.b[9]"}, "no a.b[9] in f"),
    (NESTED, {"json": "a.x.y"}, "no a.x.y in f"),
    (NESTED, {"json": "n"}, "no n in f"),
    ("n,e\n", {"csv": "e"}, "no rows"),
    ("n,e\n1,\n", {"csv": "e"}, "nothing in column 'e'"),
    ("n,e\n1\n", {"csv": "e"}, "nothing in column 'e'"),
    ("n,e\n1,2\n", {"csv": "x"}, "no column 'x', but n, e"),
    ("", {"csv": "x"}, "no column 'x'"),
    ("", {"csv": "x", "file": "g/h"}, "no file g/h"),
]
WRONG = [
    ("E = low", {"regex": "E = (.*)"}, "'low' (a string) is not a float"),
    ("n = 2.5", {"regex": "n = (.*)", "type": "int"}, "is not an int"),
    (NESTED, {"json": "a.b"}, "is not a float"),
    ("{", {"json": "a"}, "f is no JSON"),
    ("[" * 100_000, {"json": "a"}, "f is no JSON"),
    ("a: [", {"yaml": "a"}, "f is no YAML"),
    ("x" * 2_000, {"regex": "(x+)", "type": "str"}, "a text of 2000 characters"),
    ("#" * 1_100_000, {"yaml": "a"}, "at most 1 MB"),
]


@pytest.mark.parametrize(("content", "rule", "words"), MISSING + WRONG)
def test_no_result(read, content, rule, words):
    with pytest.raises(NoResult) as info:
        read(content, **rule)
    assert words in str(info.value) and "result e" in str(info.value)


def test_what_is_optional_may_be_missing_and_not_wrong(read):
    for content, rule, _ in MISSING:
        assert read(content, optional=True, **rule) is None
    for content, rule, _ in WRONG:
        with pytest.raises(NoResult):
            read(content, optional=True, **rule)


def test_large_files_are_not_read(read, monkeypatch):
    monkeypatch.setattr(program_results, "FILE_MAX", 1_000)
    with pytest.raises(NoResult, match="file of their own"):
        read(" " * 1_001, json="a")


def test_what_is_no_file(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(NoResult, match="is not a file"):
            read(regex="(.)", file=name)


def test_what_an_earlier_attempt_has_left(read, tmp_path):
    (tmp_path / ".motoko").mkdir()
    claim = tmp_path / ".motoko" / "attempt-2"
    claim.write_text("")
    assert read("E = 1", attempt=2, regex="E = (.)") == 1.0
    later = (tmp_path / "f").stat().st_mtime + 10
    os.utime(claim, (later, later))
    with pytest.raises(NoResult, match="earlier attempt"):
        read("E = 1", attempt=2, regex="E = (.)")
    assert read("E = 1", attempt=1, regex="E = (.)") == 1.0


def test_all_that_is_missing_is_named(tmp_path):
    rules = {"a": ResultRule(json="a", file="f"), "b": ResultRule(csv="b", file="g")}
    with pytest.raises(NoResult, match=r"result a: .* f; no result b: .* g"):
        read_results(rules, tmp_path, RUN, 1)


def test_a_search_that_does_not_end(tmp_path):
    """The other regular expressions of the run are not tried, and all is said."""
    (tmp_path / "f").write_text("text")
    rules = {name: ResultRule(regex=f"({name}+)+$", file="f") for name in "ab"}
    looked_for = []

    def search(regex, text, *, last):
        looked_for.append(regex)
        raise NotSearched("took too long")

    with pytest.raises(NoResult) as info:
        read_results(rules, tmp_path, RUN, 1, search)
    assert looked_for == ["(a+)+$"]
    assert "result a: looking for '(a+)+$' in f took too long" in str(info.value)
    assert "result b: '(b+)+$' was not looked for" in str(info.value)
