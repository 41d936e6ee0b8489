"""The defaults in a study's bd.yaml, read and checked against the types declared there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from motoko.config import policy
from motoko.config.declared_types import Unfit, fitted
from motoko.config.decoding import nearest
from motoko.config.yaml_document import Reading, YamlDocument
from motoko.config.yaml_file import YamlFile

# BlackDynamite evaluates texts such as `np.linspace(0, 1, 5)` or `[2**n for n in range(4)]`.
_EXPRESSION = re.compile(r"\(.*\)|\[.*\]")
_DECLARED_IN = MappingProxyType({"job_space": "job", "run_params": "run"})


def parameter_file(path: Path) -> dict[str, Any]:
    """The content of a bd.yaml; the default of a parameter declared as ``str`` stays as written.

    Raises ``ConfigError`` for a file that is not a YAML mapping, and for ambiguous words in it.
    """
    return parameter_content(YamlDocument(path))


def parameter_content(document: YamlDocument) -> dict[str, Any]:
    """As :func:`parameter_file`, for a file that was read already.

    Raises ``ConfigError`` for ambiguous words in it.
    """
    declared = {
        section: {name.lower(): kind for name, kind in document.words(key).items()}
        for section, key in _DECLARED_IN.items()
    }

    def reading(keys: tuple[str, ...]) -> Reading:
        section, *names = keys
        if section not in declared or not names:
            return Reading.VALUE
        kind = declared[section].get(names[0].lower())
        if kind is not None:
            return Reading.TEXT if kind == "str" and len(names) == 1 else Reading.VALUE
        return policy.reading(tuple(names)) if section == "run_params" else Reading.VALUE

    return document.content(reading)


def defaults(
    bd: YamlFile, key: str, values: Mapping[str, Any], types: Mapping[str, type]
) -> Mapping[str, Any]:
    """The defaults at a key, as values of the declared types; ``ConfigError`` if one does not fit.

    Args:
        bd: the bd.yaml.
        key: ``"job_space"`` or ``"run_params"``; the latter may have undeclared parameters.
        values: the content of that key.
        types: the declared parameters, by lower-case name.
    """
    fitting: dict[str, Any] = {}
    names: set[str] = set()
    for name, value in values.items():
        at, lower = f"{key}.{name}", name.lower()
        if lower in names:
            raise bd.error(at, "is there twice, but for its case", "remove one")
        names.add(lower)
        kind = types.get(lower)
        if kind is None and key == "job_space":
            near = nearest(name, types)
            hint = f"did you mean {near!r}?" if near else f"declare it below {_DECLARED_IN[key]}:"
            raise bd.error(at, f"there is no {_DECLARED_IN[key]} parameter {name!r}", hint)
        try:
            fitting[name] = value if kind is None else _all_fitted(value, kind)
        except Unfit as unfit:
            if key == "job_space" and isinstance(value, str) and _EXPRESSION.search(value):
                fitting[name] = value  # for `canYouDigIt jobs create`; no default for createTask
                continue
            expected = f"of the declared type {kind.__name__ if kind else ''}"
            raise bd.wrong(at, unfit.args[0], expected, _hint(unfit.args[0], kind)) from None
    return MappingProxyType(fitting)


def _all_fitted(value: Any, kind: type) -> Any:
    """A value, or a list of values for several jobs, of a declared type."""
    if isinstance(value, list) and kind is not list:
        return [fitted(item, kind) for item in value]
    return fitted(value, kind)


def _hint(value: Any, kind: type | None) -> str | None:
    if kind is tuple:
        return "write a list of lists: the outer one gives one job for each of them"
    if isinstance(value, str):
        return "write the values themselves: texts are no numbers, and are not evaluated"
    return None
