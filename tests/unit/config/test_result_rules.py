"""``results:``: which rules are accepted, and in which words others are refused."""

import pytest

from motoko.config import load
from motoko.config.policy import Policy
from motoko.config.result_rules import ResultRule, steps
from motoko.errors import ConfigError


def rules(**results):
    return Policy().changed({"results": results}).results


def test_what_is_written_short_and_long():
    made = rules(
        energy=r"E = (\S+)",
        gap={"json": "bands[0].gap", "file": "out.json", "optional": True},
        steps={"csv": "n", "type": "int", "which": "first"},
    )
    assert made["energy"] == ResultRule(regex=r"E = (\S+)")
    assert made["gap"] == ResultRule(json="bands[0].gap", file="out.json", optional=True)
    assert made["steps"] == ResultRule(csv="n", type="int", which="first")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a", ("a",)), ("a.b c", ("a", "b c")), ("a[0][-1].b", ("a", 0, -1, "b")),
        ("[2].x", (2, "x")), ("", None), ("a..b", None), ("a[x]", None), ("a.", None),
    ],
)  # fmt: skip
def test_paths(path, parts):
    assert steps(path) == parts


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (r"E = \S+", ["results.e.regex", "one group", r"\S+"]),
        (r"(E) = (\S+)", ["results.e.regex", "has 2"]),
        ("E = (", ["results.e.regex", "regular expression"]),
        ({}, ["results.e", "one of regex, json, yaml, csv", "none"]),
        ({"json": "a", "csv": "b"}, ["json and csv"]),
        ({"json": "a..b"}, ["results.e.json", "a path"]),
        ({"csv": " "}, ["results.e.csv", "column"]),
        ({"csv": "e", "optinal": True}, ["results.e.optinal", "did you mean 'optional'"]),
        ({"csv": "e", "type": "double"}, ["results.e.type", "float, int, str, bool"]),
        ({"csv": "e", "file": "../t.csv"}, ["results.e.file", "below the run's directory"]),
        ({"csv": "e", "file": "/t.csv"}, ["results.e.file", "below the run's directory"]),
        (3, ["results.e", "a mapping", "regular expression"]),
    ],
)
def test_rules_that_cannot_be_followed(rule, words):
    with pytest.raises(ValueError) as info:
        rules(e=rule)
    text = f"{info.value} {info.value.hint}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize("name", ["a b", "2nd", "state", "run_path", "id", "attempt", "finish"])
def test_names_that_no_result_can_have(name):
    with pytest.raises(ValueError, match=f"results.{name}"):
        rules(**{name: "(.)"})


def test_two_names_that_differ_by_case():
    with pytest.raises(ValueError, match="twice"):
        rules(e="(.)", E="(.)")


def test_results_in_a_workflow(workflow):
    """They need ``on-exit``, are texts as they are written, and hide no parameter."""
    yaml = (workflow / "motoko.yaml").read_text()
    study = next(iter(load(workflow).studies))
    parameter = next(iter(load(workflow).studies[study].jobs))

    def with_rule(rule, finish="on-exit"):
        text = f"{yaml}\nfinish: {finish}\nresults:\n  {rule}\n"
        (workflow / "motoko.yaml").write_text(text)
        return load(workflow).studies[study].policy.results

    assert with_rule("e: {csv: 010}")["e"].csv == "010"
    with pytest.raises(ConfigError, match=r"finish.*on-exit.*results"):
        with_rule("e: (.)", finish="self")
    with pytest.raises(ConfigError, match=rf"results\.{parameter}.*job\.{parameter} in bd.yaml"):
        with_rule(f"{parameter}: (.)")
