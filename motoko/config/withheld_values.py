"""A YAML file as others may read it: without the values of environments, and of private keys.

The rest stays as it is written, comments included. Pure logic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from motoko.config.decoding import described

HIDDEN = '"***"'
NOTHING = "null"  # such a key is read as if it was absent
_MERGED = "<<"
_ANCHOR = re.compile(r"&\S+\s+")
Keys = tuple[str, ...]


@dataclass
class Withheld:
    """A file's text for others, and the names of the variables whose values are not in it."""

    text: str
    variables: list[str] = field(default_factory=list)


def without_values(
    text: str,
    public: Collection[str] = (),
    absent: Callable[[Keys], bool] = lambda keys: False,
    renamed: Mapping[str, str] | None = None,
) -> Withheld:
    """A file's text without what is private.

    Args:
        text: the file's text: motoko.yaml's, or bd.yaml's.
        public: the variables of ``environment:`` whose values stay.
        absent: whether the value at some keys is left out altogether.
        renamed: other texts for items of ``config_files:``.

    Raises ``ValueError`` if the text cannot be written without these values.
    """
    import yaml

    before = yaml.compose(text, Loader=yaml.SafeLoader)
    changes: dict[tuple[int, int], str] = {}
    variables: dict[str, None] = {}
    for keys, node in _nodes(before, ()):
        span = _span(text, node)
        if absent(keys):
            changes[span] = NOTHING
        elif len(keys) > 1 and keys[-2] == "environment" and keys[0] != "archive":
            if keys[-1] not in public:
                changes[span] = HIDDEN
                variables[keys[-1]] = None
        elif renamed and keys == ("config_files", "") and node.value in renamed:
            changes[span] = _quoted(renamed[node.value])
    written = _written(text, changes)
    try:
        yaml.compose(written, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        wrong = described(str(error).splitlines()[0])
        raise ValueError(f"without private values it is no YAML any more: {wrong}") from error
    return Withheld(written, sorted(variables))


def _nodes(node: Any, keys: Keys) -> Iterator[tuple[Keys, Any]]:
    """All values, each with the keys that lead to it; an item of a list has an empty key."""
    import yaml

    waiting = [(keys, node)]
    known: set[tuple[int, Keys]] = set()
    while waiting:
        keys, node = waiting.pop()
        if (id(node), keys) in known or len(keys) > 20:  # an anchor may contain itself
            continue
        known.add((id(node), keys))
        if keys:
            yield keys, node
        if isinstance(node, yaml.MappingNode):
            waiting += [(_below(keys, str(name.value)), value) for name, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*keys, ""), item) for item in node.value]


def _below(keys: Keys, name: str) -> Keys:
    return keys if name == _MERGED else (*keys, name)


def _span(text: str, node: Any) -> tuple[int, int]:
    """Where a value is, without its anchor; a block ends before the line break that ends it."""
    start, end = node.start_mark.index, node.end_mark.index
    if anchor := _ANCHOR.match(text, start, end):
        start = anchor.end()
    return start, start + len(text[start:end].rstrip())


def _written(text: str, changes: Mapping[tuple[int, int], str]) -> str:
    """A text with some of its parts replaced; what is in a replaced part is gone with it."""
    pieces, position = [], 0
    for (start, end), new in sorted(
        changes.items(), key=lambda change: (change[0][0], -change[0][1])
    ):
        if start >= position:
            # An empty value stands right behind its colon.
            gap = " " if start and text[start - 1] in ":" else ""
            pieces += [text[position:start], gap + new]
            position = end
    return "".join([*pieces, text[position:]])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
