"""Settings decoded as the types of a struct's fields: one loader, one style of error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, field

from motoko.config.decoding import (
    Hint,
    OneForEach,
    OneOf,
    Written,
    WrongValue,
    decoded,
    unknown_keys,
)


class Inner(msgspec.Struct, frozen=True):
    count: Annotated[int, Meta(ge=1, le=9)] = 3
    share: Annotated[float, Meta(gt=0)] | None = None


class Outer(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(pattern=r"\A[a-z]+\Z"), Written("a small word"), Hint("see {key}")]
    inner: Inner = Inner()
    colour: Literal["red", "green"] = "red"
    fruit: Annotated[str, OneOf(lambda: ["apple", "pear"])] = "pear"
    weights: Annotated[
        Mapping[str, Annotated[int, Meta(ge=0)]], OneForEach(lambda: ["left", "right"], "side")
    ] = field(default_factory=lambda: {"left": 1, "right": 1})
    labels: tuple[Annotated[str, Hint("quote it")], ...] = ()
    anything: Mapping[str, Any] = field(default_factory=dict)
    length: Annotated[float, Meta(ge=2), Written("a length", "in m", lambda x: float(x[:-1]))] = 2.0


GOOD = {
    "name": "a",
    "inner": {"count": 5, "share": 1},
    "weights": {"right": 7, "left": None},
    "labels": ["x", "y"],
    "anything": {"k": None, "m": [1]},
    "length": "4m",
    "of the user's own": 1,
}


def test_all_parts() -> None:
    given = {**GOOD, "anything": {**GOOD["anything"]}}  # type: ignore[dict-item]
    result = decoded(Outer, given)
    assert result == Outer(
        "a",
        Inner(5, 1.0),
        weights={"left": 1, "right": 7},
        labels=("x", "y"),
        anything={"k": None, "m": [1]},
        length=4.0,
    )
    assert given == GOOD and isinstance(result.inner.share, float)


def test_one_for_all() -> None:
    assert decoded(Outer, {**GOOD, "weights": 4}).weights == {"left": 4, "right": 4}


def test_null_is_absent() -> None:
    nothing = dict.fromkeys(["inner", "colour", "weights", "labels", "anything", "length"])
    assert decoded(Outer, {"name": "a", **nothing}) == Outer("a")


WRONG: dict[str, tuple[Any, str, str, str]] = {
    "missing": ({"name": None}, "name", "is missing or empty", "see name"),
    "type": ({"name": 3}, "name", "must be a string, and is 3 (an integer)", "see name"),
    "pattern": ({"name": "A b"}, "name", "must be a small word", "see name"),
    "no mapping": ({"inner": [1]}, "inner", "must be a mapping", "make inner a mapping"),
    "bound": ({"inner": {"count": 10}}, "inner.count", "from 1 to 9, and is 10", "from 1 to 9"),
    "bool": ({"inner": {"count": True}}, "inner.count", "True (true or false)", ""),
    "above": ({"inner": {"share": 0}}, "inner.share", "a number of more than 0", ""),
    "nan": ({"inner": {"share": float("nan")}}, "inner.share", "and is nan", ""),
    "literal": ({"colour": "gren"}, "colour", "one of red, green", "did you mean 'green'?"),
    "choice": ({"fruit": "appel"}, "fruit", "one of apple, pear", "did you mean 'apple'?"),
    "no text": ({"fruit": ["apple"]}, "fruit", "must be a string", ""),
    "no name": ({"weights": {"rigth": 1}}, "weights.rigth", "is no side", "mean 'right'?"),
    "for one": ({"weights": {"left": -1}}, "weights.left", "at least 0, and is -1", ""),
    "for all": ({"weights": -1}, "weights", "at least 0, and is -1", ""),
    "key": ({"anything": {1: 2}}, "anything.1", "must be a string", "need quotes"),
    "item": ({"labels": ["x", 2]}, "labels[1]", "must be a string, and is 2", "quote it"),
    "no list": ({"labels": "x"}, "labels", "must be a list", ""),
    "unreadable": ({"length": "long"}, "length", "a length of at least 2 (in m)", ""),
    "read, and too small": ({"length": "1m"}, "length", "at least 2 (in m), and is '1m'", ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be(case: str) -> None:
    change, name, problem, hint = WRONG[case]
    with pytest.raises(WrongValue) as caught:
        decoded(Outer, {**GOOD, **change})
    assert caught.value.name == name
    assert problem in caught.value.problem and hint in caught.value.hint
    assert str(caught.value) == f"{name} {caught.value.problem}"


def test_long_values_are_cut() -> None:
    with pytest.raises(WrongValue) as caught:
        decoded(Outer, {"name": ["x" * 1000]}, "top")
    assert caught.value.name == "top.name" and len(caught.value.problem) < 150


def test_unknown_keys() -> None:
    content = {"nmae": 1, 7: 2, "known": 3, "inner": {"cuont": 1}, "anything": {"free": 1}}
    assert list(unknown_keys(Outer, content, others=["known"])) == [
        ("nmae", "unknown key 'nmae' (did you mean 'name'?)"),
        ("7", "unknown key 7"),
        ("inner.cuont", "inner: unknown key 'cuont' (did you mean 'count'?)"),
    ]
