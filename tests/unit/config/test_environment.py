"""Variables named in the values of variables. What bash makes of them is tested with runs."""

from __future__ import annotations

import pytest

from motoko.config.decoding import WrongValue
from motoko.config.environment import layered, shell_lines
from motoko.config.policy import Policy


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "''"),
        ("a b", "'a b'"),
        ("$HOME/x y", '"${HOME?is not set, but environment: V names it}"' + "'/x y'"),
        ("$V:b", '"${V-}":b'),
        ("$${V}", r"\$" + "'{V}'"),
        ("100$$", r"100\$"),
        ("$$$V", r"\$" + '"${V-}"'),
        ("`id`", "'`id`'"),
        ("a~", "'a~'"),
        ("~~", "'~~'"),
    ],
)
def test_lines(text: str, line: str) -> None:
    assert shell_lines({"V": text}) == [f"export V={line}"]


@pytest.mark.parametrize("text", ["~", "~/bin", "/a:~", "/a:~/b:/c"])
def test_home(text: str) -> None:
    home = '"${HOME?is not set, but environment: V names it}"'
    assert shell_lines({"V": text}) == ["export V=" + text.replace("~", home)]


def test_what_is_named_comes_first() -> None:
    lines = shell_lines({"A": "$B", "B": "${C}/b", "C": "/c"})
    assert [line.partition("=")[0] for line in lines] == ["export C", "export B", "export A"]


def test_a_later_value_may_name_the_earlier_one() -> None:
    study = layered({"PATH": "~/w:$PATH", "A": "1$$"}, {"PATH": "/s:$PATH:${A}", "B": "~"})
    assert study == {"PATH": "/s:${HOME}/w:$PATH:${A}", "A": "1$$", "B": "~"}
    assert layered(study, {"A": "$A$$2"})["A"] == "1$$$$2"
    merged = Policy().changed({"environment": {"PATH": "/w:$PATH"}})
    assert merged.changed({"environment": {"PATH": "/s:$PATH"}}).environment == {
        "PATH": "/s:/w:$PATH"
    }


@pytest.mark.parametrize(
    "text",
    ["$", "5$", "$(date)", "${A:-b}", "${}", "${A", "$1", "$-", "$ A", "~me/x", "/a:~me", "$é"],
)
def test_what_has_no_meaning_is_refused(text: str) -> None:
    with pytest.raises(WrongValue, match=r"environment\.V"):
        Policy().changed({"environment": {"V": text}})


def test_circles_are_refused() -> None:
    first = Policy().changed({"environment": {"A": "$B"}})
    with pytest.raises(WrongValue, match=r"-> "):
        first.changed({"environment": {"B": "x$A"}})
