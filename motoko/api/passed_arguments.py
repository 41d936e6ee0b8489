"""The arguments that the user's functions are called with: those that they accept."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from motoko.errors import ConfigError

NOT_ASYNC = "write `async def main(workflow, **params)`"
# The values of its own command line that motoko 0.1.4 passed, besides the workflow's options.
OF_THE_COMMAND = {
    "command": "orchestrator",
    "what": "start",
    "detach": False,
    "wait": 5,
    "verbose": False,
}
# 0.1.4 passes no runs for some conditions, and functions written for it had to accept all options.
_OPTIONAL = {"runs", *OF_THE_COMMAND}


def taken(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without the optional ones that the function does not accept."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin may have no signature
        return dict(arguments)
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return dict(arguments)
    names = {parameter.name for parameter in parameters}
    return {
        name: value for name, value in arguments.items() if name not in _OPTIONAL or name in names
    }


def check_main(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` if a function cannot be used as the orchestrator's function.

    Args:
        name: the function's name in motoko.yaml.
        function: the function; it will be called with the workflow, and ``arguments`` by name.
    """
    if _returns_nothing(function):
        raise ConfigError(f"{name} is not an async function", hint=NOT_ASYNC)
    try:
        inspect.signature(function).bind(None, **taken(function, arguments))
    except TypeError as error:
        raise ConfigError(f"{name} cannot be called: {error}", hint=NOT_ASYNC) from error
    except ValueError:
        return  # a builtin may have no signature


def _returns_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function is a plain one that returns no value, so that nothing can be awaited."""
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return False
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError, ValueError):
        return False  # without the source it cannot be known
    values = (node.value for node in ast.walk(definition) if isinstance(node, ast.Return))
    return isinstance(definition, ast.FunctionDef) and not any(values)
