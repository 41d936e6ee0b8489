"""Constraints such as ``"state = FINISHED, jobs.x < 3"``, compiled once to predicates. Pure logic.

A constraint is ``name operator value``. Constraints are joined by ``,`` or the word ``and``; a list
of strings means all of them. There is no "or". Names are case-insensitive and may have a prefix,
``runs.`` or ``jobs.``; the operators are ``= == != < > <= >=`` and, for regular expressions,
``~ ~* !~ !~*`` (``*``: in any case). A value extends to the next ``,`` or ``and`` or the end, or
is quoted, ``'...'`` or ``"..."``, and may then hold anything (``\\`` escapes the quote and itself).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from motoko.errors import ConstraintError
from motoko.host.printable import printable, shortened
from motoko.store.literals import BAD_TEXT, example, literal_or_none, quote, read_literal
from motoko.store.predicates import (
    COMPARISONS,
    Field,
    FieldTest,
    Predicate,
    against,
    by_own_type,
    finds,
    own_literals,
    simple_literals,
)

_NAME = re.compile(r"\s*(\w+)(?:\s*\.\s*(\w+))?\s*")
_OPERATOR = re.compile(r"!~\*|!~|~\*|~|==|!=|<=|>=|=|<|>")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*+)'|\"((?:[^\"\\]|\\.)*+)\"", re.DOTALL)
# One blank before the word, not several: on long runs of blanks the search stays linear.
_SEPARATOR = re.compile(r",|\sand(?=\s|$)", re.IGNORECASE)
_AFTER_QUOTE = re.compile(r"\s*(?:,|$)|\s+and(?=\s|$)", re.IGNORECASE)
_REFERENCE = re.compile(r"(\w+)\s*\.\s*(\w+)")
_OR = re.compile(rf"\sor\s+(\w+)(?:\s*\.\s*\w+)?\s*(?:{_OPERATOR.pattern})", re.IGNORECASE)
_OPERATORS = "the operators are = != < > <= >= ~ ~* !~ !~*"
_INK = re.compile(r"\S")


def compile_constraints(
    constraints: str | Sequence[str] | None,
    *,
    job_types: Mapping[str, type],
    run_types: Mapping[str, type],
    study: str = "",
) -> Predicate:
    """The predicate that says whether a run and its job meet all constraints.

    ``None``, blank strings and ``[]`` match everything. Results are cached; no argument is changed.

    A name without prefix is a declared job or run parameter, or else an undeclared one of the run.
    Values are read by the declared type; for undeclared names, by the type of the run's own value.
    Unquoted, ``None`` is None, and ``runs.x`` or ``jobs.x`` is that field if it is declared.

    Args:
        constraints: one string, or several that must all hold.
        job_types: the declared job parameters.
        run_types: the declared run parameters.
        study: the study's name, for messages.

    Raises:
        ConstraintError: if a constraint is not understood; the message points at the place.
    """
    if constraints is None or isinstance(constraints, str):
        constraints = (constraints or "",)
    elif isinstance(constraints, bytes) or not isinstance(constraints, Sequence):
        constraints = (constraints,)  # refused below
    for text in constraints:
        if not isinstance(text, str):
            raise ConstraintError(
                f"{_where(study)}{text!r} ({type(text).__name__}) is not a constraint",
                hint='give a string such as "state = FINISHED", or a list of such strings',
            )
    return _compile(
        tuple(constraints),
        tuple((name.lower(), kind) for name, kind in job_types.items()),
        tuple((name.lower(), kind) for name, kind in run_types.items()),
        study,
    )


@lru_cache(maxsize=1024)
def _compile(
    texts: tuple[str, ...],
    job_types: tuple[tuple[str, type], ...],
    run_types: tuple[tuple[str, type], ...],
    study: str,
) -> Predicate:
    types = {"jobs": dict(job_types), "runs": dict(run_types)}
    tests = [test for text in texts if text.strip() for test in _Reader(text, types, study).read()]
    fields = {test.where for test in tests} | {test.other for test in tests if test.other}
    pins = [test.run_ids for test in tests if test.run_ids is not None]
    return Predicate(
        text=" and ".join(f"{'.'.join(test.where)} {test.op} {test.operand}" for test in tests),
        reads=frozenset(map(".".join, fields)),
        undeclared=frozenset(name for side, name in fields if name not in types[side]),
        run_ids=frozenset.intersection(*pins) if pins else None,
        tests=tuple(tests),
    )


class _Reader:
    """Reads one constraint string."""

    def __init__(self, text: str, types: dict[str, dict[str, type]], study: str) -> None:
        self.text, self.types, self.study = text, types, study
        self.at = 0
        self.cut_by = ""  # the separator that ended the value before, if that was not quoted

    def read(self) -> Iterator[FieldTest]:
        while True:
            yield self._constraint()
            if self.at >= len(self.text):
                return

    def _constraint(self) -> FieldTest:
        where, start = self._field()
        op = _OPERATOR.match(self.text, self.at)
        if not op:
            what = f"{_short(self.text[start : self.at].strip())} is followed by no operator"
            raise self._error(what, self.at, self._quoting_hint() or _OPERATORS)
        self.at = op.end()
        if self.text.startswith(tuple("=<>~!"), self.at):
            wrong = f"there is no operator {self.text[op.start() : self.at + 1]!r}"
            hint = f"{_OPERATORS}; a value that begins like one must be quoted"
            raise self._error(wrong, op.start(), hint)
        at = self._skip_blanks()
        return self._test(where, op[0].replace("==", "="), *self._value(at), at)

    def _field(self) -> tuple[Field, int]:
        """The field to the left of the operator, and where it begins."""
        match = _NAME.match(self.text, self.at)
        if not match:
            hint = self._quoting_hint() or "write: name operator value, as in state = FINISHED"
            raise self._error("a name is missing", self._skip_blanks(), hint)
        start, self.at = match.start(1), match.end()
        first, second = match[1].lower(), match[2] and match[2].lower()
        jobs, runs = self.types["jobs"], self.types["runs"]
        if not second:
            if first in jobs and first in runs:
                what = f"{first!r} is ambiguous, both a job and a run parameter"
                raise self._error(what, start, f"write jobs.{first} or runs.{first}")
            return ("jobs" if first in jobs else "runs", first), start
        if first not in self.types:
            what = f"{_short(match[1])} is no prefix"
            raise self._error(what, start, "the prefixes of names are runs. and jobs.")
        if first == "jobs" and second not in jobs:
            near = difflib.get_close_matches(second, jobs, 1)
            maybe = f"runs.{second}" if second in runs else f"jobs.{near[0]}" if near else ""
            maybe = maybe and f" (did you mean {maybe}?)"
            what = f"there is no job parameter {_short(second)}{maybe}"
            raise self._error(what, match.start(2), self._known())
        return (first, second), start

    def _value(self, at: int) -> tuple[str, bool]:
        """The value at ``at``, and whether it was quoted. Moves on behind the value's separator."""
        if self.text.startswith(("'", '"'), at):
            return self._quoted_value(at), True
        # Search from just behind the operator, to see the blank before a dangling "and".
        end = _SEPARATOR.search(self.text, self.at)
        value = self.text[self.at : end.start() if end else len(self.text)].strip()
        if not value:
            raise self._error("a value is missing", at, "an empty string is written ''")
        other = _OR.search(value)
        if other and other[1].lower() in {*self.types, *self.types["jobs"], *self.types["runs"]}:
            hint = "alternatives go to .all(c1, c2) or to two actions; quote the value if it is one"
            raise self._error("there is no 'or'", at + other.start() + 1, hint)
        self._separated(end)
        self.cut_by = end[0].strip() if end else ""
        return value, False

    def _quoted_value(self, at: int) -> str:
        match = _QUOTED.match(self.text, at)
        if not match:
            hint = r"end it with the same quote; inside, the quote itself is written \' or \""
            raise self._error("this quote is not closed", at, hint)
        end = _AFTER_QUOTE.match(self.text, match.end())
        if not end:
            hint = r"only ',' or ' and ' may follow; inside, the quote is written \' or \""
            raise self._error("text after the closing quote", match.end(), hint)
        self._separated(end)
        self.cut_by = ""
        mark = self.text[at]
        return re.sub(rf"\\([\\{mark}])", r"\1", match[0][1:-1])

    def _separated(self, end: re.Match[str] | None) -> None:
        """Move behind a separator. A ``,`` may come at the very end, a dangling ``and`` may not."""
        self.at = end.end() if end else len(self.text)
        if end and self._skip_blanks() == len(self.text):
            if end[0].strip().lower() == "and":
                what = "a constraint is missing after 'and'"
                raise self._error(what, self.at, "quote the value if 'and' belongs to it")
            self.at = len(self.text)

    def _test(self, where: Field, op: str, value: str, quoted: bool, at: int) -> FieldTest:
        kind = self.types[where[0]].get(where[1])
        if "~" in op:
            pattern = self._regex(value, re.IGNORECASE if "*" in op else 0, at)
            return FieldTest(where, op, quote(value), kind, finds(pattern))
        compare = COMPARISONS[op.replace("!", "")]
        if not quoted and value == "None":
            if op not in ("=", "!="):
                raise self._error("None has no order", at, "use = or !=")
            return FieldTest(where, op, value, kind, lambda x, _: x is None, literals={})
        reference = None if quoted else _REFERENCE.fullmatch(value)
        if reference:
            other = (reference[1].lower(), reference[2].lower())
            if other[1] in self.types.get(other[0], ()):
                return FieldTest(where, op, ".".join(other), kind, compare, other)
        if kind is None:
            literal, matches = literal_or_none(value, int), by_own_type(compare, value)
            literals: Mapping[type, Any] | None = own_literals(value)
        else:
            literal = self._literal(where, value, kind, at)
            matches, literals = against(compare, literal), simple_literals(literal)
        run_ids = None
        if where == ("runs", "id") and op == "=" and isinstance(literal, int | float):
            run_ids = frozenset([int(literal)] if literal % 1 == 0 else [])  # not 2.5, inf, nan
        return FieldTest(where, op, quote(value), kind, matches, None, run_ids, literals)

    def _literal(self, where: Field, value: str, kind: type, at: int) -> Any:
        try:
            return read_literal(value, kind)
        except BAD_TEXT:
            what = f"{_short(value)} is no value for {'.'.join(where)}, which is {kind.__name__}"
            raise self._error(what, at, example(kind)) from None

    def _regex(self, value: str, flags: int, at: int) -> re.Pattern[str]:
        try:
            return re.compile(value, flags)
        except BAD_TEXT as error:
            hint = self._quoting_hint() or f"Python's re module says: {error}"
            raise self._error("this is no regular expression", at, hint) from None

    def _skip_blanks(self) -> int:
        return len(self.text) if not (match := _INK.search(self.text, self.at)) else match.start()

    def _quoting_hint(self) -> str:
        """The hint for when the last value may have been cut in two."""
        return f"a value that holds {self.cut_by!r} must be quoted: '...'" if self.cut_by else ""

    def _known(self) -> str:
        return "; ".join(
            f"{kind} parameters: {', '.join(sorted(self.types[side])) or 'none'}"
            for side, kind in (("jobs", "job"), ("runs", "run"))
        )

    def _error(self, problem: str, at: int, hint: str) -> ConstraintError:
        start = max(0, at - 50)
        line = printable(self.text[start : start + 80])
        message = f"{_where(self.study)}{problem}\n    {line}\n    {' ' * (at - start)}^"
        return ConstraintError(message, hint=hint)


def _short(text: str) -> str:
    return repr(shortened(text, 40))


def _where(study: str) -> str:
    return f"study {study}: " if study else ""
