"""Adds a study to the text of a motoko.yaml: nothing else changes, comments stay. Pure."""

from __future__ import annotations

from typing import Any

_KEY = "task_managers"
_INDENT = "  "


def entry(name: str, settings: dict[str, Any]) -> list[str]:
    """The lines of a study's entry, as they stand below ``task_managers:``, without indentation."""
    import yaml  # here, because only commands that write need it

    text: str = yaml.safe_dump(
        {name: settings}, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=False
    )
    return text.splitlines()


def with_study(text: str, name: str, settings: dict[str, Any]) -> str | None:
    """The file's text with one more study; ``None`` if its form does not allow that.

    It does not where the studies stand in braces, or come from an anchor: the insertion would
    change something else, too.
    """
    import yaml

    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(newline)
    node = _studies(yaml.compose(text, yaml.SafeLoader))
    if node is None:
        return None
    key, value = node
    if value.tag == "tag:yaml.org,2002:null" and not value.value:
        column, last = len(_INDENT), key.start_mark.line
    elif isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
        column, last = value.value[0][0].start_mark.column, _last_line(value)
    else:
        return None
    # A comment that is indented as the studies are belongs to the last of them.
    while last + 1 < len(lines) and lines[last + 1].startswith(" " * max(column, 1) + "#"):
        last += 1
    added = [" " * column + line for line in entry(name, settings)]
    changed = newline.join([*lines[: last + 1], *added, *lines[last + 1 :]])
    return changed if _is_as_meant(text, changed, name, settings) else None


def _studies(root: Any) -> tuple[Any, Any] | None:
    pairs = root.value if root is not None and isinstance(root.value, list) else []
    for pair in pairs:
        if isinstance(pair, tuple) and pair[0].value == _KEY:
            return pair
    return None


def _last_line(node: Any) -> int:
    """The last line of a node, from 0."""
    if isinstance(node.value, str) or not node.value or node.flow_style:
        end = node.end_mark
        is_block = end.column == 0 and end.line > node.start_mark.line
        return int(end.line - is_block)
    parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    return max(map(_last_line, parts))


def _is_as_meant(before: str, after: str, name: str, settings: dict[str, Any]) -> bool:
    import yaml

    try:
        old, new = yaml.safe_load(before), yaml.safe_load(after)
    except yaml.YAMLError:
        return False
    studies = old.get(_KEY) or {}
    return bool(new == {**old, _KEY: {**studies, name: settings}})
