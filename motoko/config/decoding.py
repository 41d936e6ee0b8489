"""Settings from YAML or Python, decoded as the types of the fields of a struct.

A section of a file is a ``msgspec.Struct``. A field's type says what may be there, ``msgspec.Meta``
in it gives the bounds; the marks of this module in its ``Annotated`` say how the value is written
where that is not obvious, and what an error about it says. Pure logic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

T = TypeVar("T")

_KINDS: Mapping[Any, str] = MappingProxyType(
    {dict: "a mapping", list: "a list", str: "a string", int: "an integer", Mapping: "a mapping"}
    | {float: "a number", bool: "true or false", type(None): "nothing", tuple: "a list"}
)
_QUOTES = "names that YAML takes for something else (yes, no, on, off, 1) need quotes"


@dataclass(frozen=True)
class Written:
    """How a value is written that is not written simply as a value of its type.

    Attributes:
        what: what the value is, in words.
        more: what errors say after these words and the bounds: ``such as 500MB``.
        read: converts the written value to one of the type; ``ValueError`` if it cannot.
        bound: converts a bound to the text that a user would write.
    """

    what: str
    more: str = ""
    read: Callable[[Any], Any] | None = None
    bound: Callable[[Any], str] = "{:g}".format


@dataclass(frozen=True)
class Hint:
    """What to do if a value is wrong or missing; ``{key}`` stands for its key."""

    text: str


@dataclass(frozen=True)
class OneOf:
    """The names that a value may be."""

    names: Callable[[], Collection[str]]


@dataclass(frozen=True)
class OneForEach:
    """A mapping with a value for each of some names, or one value for all of them.

    Missing names have the values of the default, if the mapping is a struct's field.
    """

    names: Callable[[], Collection[str]]
    what: str  # what such a name is, in words


class WrongValue(ValueError):
    """A value that is not allowed.

    Attributes:
        name: the keys that lead to it.
        problem: what is wrong with it.
        hint: what to do.
    """

    def __init__(self, name: str, problem: str, hint: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name, self.problem, self.hint = name, problem, hint

    @classmethod
    def of(cls, name: str, value: Any, expected: str, hint: str | None = None) -> WrongValue:
        """The error that a value must be something else."""
        problem = f"must be {expected}, and is {described(value)}"
        return cls(name, problem, hint or f"make {name} {expected}")


def decoded(kind: type[T], value: Any, name: str = "") -> T:
    """A value as one of a type; ``WrongValue`` for the first part that is not allowed.

    In a struct, null means absent, and keys without a field are left out.

    Args:
        kind: the type of a struct's field, or a struct.
        value: what YAML has for it; it is not changed.
        name: the keys that lead to it.
    """
    result: T = _decoded(kind, value, name)
    return result


def unknown_keys(
    kind: type[msgspec.Struct],
    content: Mapping[Any, Any],
    name: str = "",
    others: Collection[str] = (),
) -> Iterator[tuple[str, str]]:
    """The keys of a mapping for which the struct has no field, each with a line about it.

    Args:
        kind, content, name: as for :func:`decoded`.
        others: further keys that are allowed there.
    """
    known = {*kind.__struct_fields__, *others}
    for key in content:
        if key not in known:
            near = nearest(key, known, 0.65)  # 0.6 takes temperature for generator
            text = f"unknown key {key!r}" + (f" (did you mean {near!r}?)" if near else "")
            yield _below(name, key), f"{name}: {text}" if name else text
    for field in _fields(kind):
        form, below = _form(field.type), _below(name, field.name)
        value = content.get(field.name)
        if form.is_struct and isinstance(value, Mapping):
            yield from unknown_keys(form.base, value, below)
        elif form.base in (list, tuple) and isinstance(value, (list, tuple)):
            item = _form(form.arguments[0])
            for place, part in enumerate(value):
                if item.is_struct and isinstance(part, Mapping):
                    yield from unknown_keys(item.base, part, f"{below}[{place}]")


def nearest(name: Any, names: Collection[str], cutoff: float = 0.6) -> str | None:
    """The one of some names that was probably meant, if there is one."""
    import difflib  # only wrong names come here

    lower = {other.lower(): other for other in names if other != name}
    matches = difflib.get_close_matches(str(name).lower(), lower, 1, cutoff)
    return lower[matches[0]] if matches else None


def described(value: Any) -> str:
    """A value and its kind, in a few words."""
    text, kind = repr(value), _KINDS.get(type(value), type(value).__name__)
    return f"{text[:80]}{'...' if len(text) > 80 else ''} ({kind})"


@dataclass(frozen=True)
class _Form:
    """The parts of a field's type."""

    kind: Any  # what msgspec checks: without `None`
    base: Any  # int, Mapping, a struct ...
    arguments: tuple[Any, ...]  # of a mapping or a list
    marks: Mapping[type, Any]

    @property
    def is_struct(self) -> bool:
        return isinstance(self.base, type) and issubclass(self.base, msgspec.Struct)

    @property
    def choices(self) -> Collection[str]:
        if OneOf in self.marks:
            return list(self.marks[OneOf].names())
        return self.arguments if self.base is Literal else ()

    def expected(self) -> str:
        """What a value must be, in words."""
        if choices := self.choices:
            return f"one of {', '.join(choices)}"
        written = self.marks.get(Written) or Written(_KINDS.get(self.base, "a mapping"))
        words, meta = written.what, self.marks.get(msgspec.Meta, msgspec.Meta())
        if meta.gt is not None:
            words += f" of more than {written.bound(meta.gt)}"
        elif meta.le is not None:
            words += f" from {written.bound(meta.ge)} to {written.bound(meta.le)}"
        elif meta.ge is not None:
            words += f" of at least {written.bound(meta.ge)}"
        return f"{words} ({written.more})" if written.more else words

    def hint(self, name: str) -> str | None:
        mark = self.marks.get(Hint)
        return mark.text.replace("{key}", name.rpartition(".")[2]) if mark else None

    def wrong(self, name: str, value: Any, expected: str | None = None) -> WrongValue:
        near = None if expected else nearest(value, self.choices)
        hint = f"did you mean {near!r}?" if near else self.hint(name)
        return WrongValue.of(name, value, expected or self.expected(), hint)


# By the type's id, with the type itself so that it is not freed: to hash a type takes far longer.
_forms: dict[int, tuple[Any, _Form]] = {}


def _form(kind: Any) -> _Form:
    known = _forms.get(id(kind))
    if known is None:
        known = _forms[id(kind)] = (kind, _parts(kind))
    return known[1]


def _parts(kind: Any) -> _Form:
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    marks = getattr(kind, "__metadata__", ())
    plain = get_args(kind)[0] if marks else kind
    by_type = {type(mark): mark for mark in marks}  # the last mark of a type counts
    return _Form(kind, get_origin(plain) or plain, get_args(plain), by_type)


_fields = cache(msgspec.structs.fields)


def _decoded(kind: Any, value: Any, name: str) -> Any:
    form = _form(kind)
    written = form.marks.get(Written)
    read = written.read if written else None
    if read is None:
        if OneForEach in form.marks:
            return _one_for_each(form, value, name)
        if form.is_struct:
            return _struct(form, value, name)
        if form.base is Mapping:
            return _mapping(form, value, name)
        if form.base in (list, tuple):
            return _list(form, value, name)
        if form.base is str and not isinstance(value, str):
            raise form.wrong(name, value, _KINDS[str])
        if OneOf in form.marks and value not in form.choices:
            raise form.wrong(name, value)
    try:
        return msgspec.convert(read(value) if read else value, form.kind)
    except ValueError:  # msgspec's errors are ValueErrors, too
        raise form.wrong(name, value) from None


def _struct(form: _Form, content: Any, name: str) -> Any:
    if not isinstance(content, Mapping):
        raise form.wrong(name, content)
    values: dict[str, Any] = {}
    for field in _fields(form.base):
        value, key = content.get(field.name), _below(name, field.name)
        if value is not None:
            values[field.name] = _decoded(field.type, value, key)
            if OneForEach in _form(field.type).marks:
                values[field.name] = {**field.default_factory(), **values[field.name]}
        elif field.required:
            hint = _form(field.type).hint(key) or f"write `{field.name}: ...`"
            raise WrongValue(key, "is missing or empty", hint)
    return form.base(**values)


def _mapping(form: _Form, content: Any, name: str) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise form.wrong(name, content)
    of_name, of_value = form.arguments
    for key in content:
        if not isinstance(key, str):
            raise WrongValue.of(_below(name, key), key, _KINDS[str], _QUOTES)
        _decoded(of_name, key, name)
    return {key: _decoded(of_value, value, _below(name, key)) for key, value in content.items()}


def _list(form: _Form, items: Any, name: str) -> Any:
    if not isinstance(items, (list, tuple)):
        raise form.wrong(name, items)
    parts = [_decoded(form.arguments[0], item, f"{name}[{i}]") for i, item in enumerate(items)]
    return form.base(parts)


def _one_for_each(form: _Form, value: Any, name: str) -> dict[str, Any]:
    mark, of_value = form.marks[OneForEach], form.arguments[1]
    names = mark.names()
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, _decoded(of_value, value, name))
    given = {key: part for key, part in value.items() if part is not None}
    for key in value:
        if isinstance(key, str) and key not in names:
            near = nearest(key, names)
            hint = f"did you mean {near!r}?" if near else f"they are {', '.join(names)}"
            raise WrongValue(_below(name, key), f"is no {mark.what}", hint)
    return _mapping(form, given, name)


def _below(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
