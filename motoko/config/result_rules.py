"""``results:`` in motoko.yaml: how a run's results are read from its program's output. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from motoko.config.decoding import Hint, WrongValue, nearest
from motoko.config.reserved_names import why_reserved

# The keys that say how a value is found: a rule has one of them.
WAYS = ("regex", "json", "yaml", "csv")
# The keys whose values are texts, whatever YAML takes them for.
_TEXTS = frozenset({*WAYS, "file"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(r"(?:^|\.)(?P<name>[^.\[\]]+)|\[(?P<index>-?[0-9]+)\]")
_WRITE = "write `{key}: 'a regular expression with a (group)'`, or a mapping with regex, json, ..."


class ResultRule(msgspec.Struct, frozen=True):
    """How one result of a run is read. Exactly one of the first four is given.

    Attributes:
        regex: a regular expression with one group, which is the value; ``^`` and ``$`` match at
            the ends of lines.
        json: a path in a JSON file: ``bands[0].gap``.
        yaml: a path in a YAML file.
        csv: the name of a column in a table: see ``motoko.runs.program_results``.
        file: the file with the value, below the run's directory; ``None``: the standard output.
        type: the type of the value.
        which: which match, or row, counts.
        optional: whether the value may be missing: then it is ``None``.
    """

    regex: str | None = None
    json: str | None = None
    yaml: str | None = None
    csv: str | None = None
    file: str | None = None
    type: Literal["float", "int", "str", "bool"] = "float"
    which: Literal["last", "first"] = "last"
    optional: bool = False


Rules = Annotated[
    Mapping[str, Annotated[ResultRule, Hint(_WRITE)]], Hint("write `name: ...` lines")
]


def written_out(results: Any) -> Any:
    """What a user wrote below ``results:``, with each bare regular expression as a mapping."""
    if not isinstance(results, Mapping):
        return results
    return {
        name: {"regex": rule} if isinstance(rule, str) else rule for name, rule in results.items()
    }


def check(
    results: Mapping[str, Any], rules: Mapping[str, ResultRule], key: str, policies: Collection[str]
) -> None:
    """Raise ``WrongValue`` for a rule that cannot be followed.

    Args:
        results: what :func:`written_out` returns.
        rules: the same, decoded.
        key: the key of the rules, for errors.
        policies: names that mean something else on a run: how it is executed.
    """
    names: set[str] = set()
    for name, rule in rules.items():
        at = f"{key}.{name}"
        if not _NAME.fullmatch(name):
            hint = "use letters, digits and _: it is `run.name` in Python"
            raise WrongValue(at, "is no name of a result", hint)
        why = why_reserved("run", name, names)
        if why is None and name.lower() in policies:
            why = "on a run it says how that is executed"
        if why:
            raise WrongValue(at, f"is a name that no result can have: {why}", "rename it")
        if name.lower() in names:
            raise WrongValue(at, "is there twice, but for its case", "rename one")
        names.add(name.lower())
        for other in results[name]:
            if other not in ResultRule.__struct_fields__:
                near = nearest(other, ResultRule.__struct_fields__)
                known = ", ".join(ResultRule.__struct_fields__)
                hint = f"did you mean {near!r}?" if near else f"the keys are {known}"
                raise WrongValue(f"{at}.{other}", "is no key of a result", hint)
        _check_way(rule, at)
        if rule.file is not None and not _is_below(rule.file):
            expected = "a path below the run's directory"
            raise WrongValue.of(f"{at}.file", rule.file, expected)


def refuse_clashes(
    rules: Mapping[str, ResultRule], parameters: Mapping[str, Mapping[str, Any]], key: str
) -> None:
    """Raise ``WrongValue`` for a result that has the name of a declared parameter.

    ``parameters`` are the declared ones, in lower case, by the section of bd.yaml.
    """
    for name in rules:
        for section, declared in parameters.items():
            if name.lower() in declared:
                problem = f"is the name of a parameter, too: {section}.{name.lower()} in bd.yaml"
                raise WrongValue(f"{key}.{name}", problem, "rename one of them")


def is_text(keys: tuple[str, ...]) -> bool:
    """Whether a word is read as a text, by the keys that lead to it from below ``results``."""
    return len(keys) == 1 or (len(keys) == 2 and keys[1] in _TEXTS)


@cache
def steps(path: str) -> tuple[str | int, ...] | None:
    """The names and indices that lead to a value in JSON or YAML; ``None`` if it is no path."""
    parts: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return None
        name, index = match["name"], match["index"]
        parts.append(int(index) if name is None else name)
        position = match.end()
    return tuple(parts) or None


@cache
def pattern(regex: str) -> re.Pattern[str]:
    """A rule's regular expression. Raises ``re.error``."""
    return re.compile(regex, re.MULTILINE)


def _check_way(rule: ResultRule, at: str) -> None:
    ways = [way for way in WAYS if getattr(rule, way) is not None]
    if len(ways) != 1:
        has = " and ".join(ways) if ways else "none of them"
        problem = f"must have one of {', '.join(WAYS)}, and has {has}"
        raise WrongValue(at, problem, "say in one way how the value is found")
    way, text = ways[0], str(getattr(rule, ways[0]))
    if way == "regex":
        try:
            groups = pattern(text).groups
        except re.error as error:
            expected = f"a regular expression ({error})"
            raise WrongValue.of(f"{at}.regex", text, expected) from None
        if groups != 1:
            problem = f"must have one group, and has {groups}: {text!r}"
            hint = r"put ( ) around the value: 'energy = (\S+)'; other groups are (?: )"
            raise WrongValue(f"{at}.regex", problem, hint)
    elif way == "csv":
        if not text.strip():
            raise WrongValue.of(f"{at}.csv", text, "the name of a column")
    elif steps(text) is None:
        expected = "a path, such as energy.total or bands[0].gap"
        raise WrongValue.of(f"{at}.{way}", text, expected)


def _is_below(name: str) -> bool:
    parts = posixpath.normpath(name).split("/")
    return bool(name.strip()) and "\0" not in name and parts[0] not in ("", ".", "..")
