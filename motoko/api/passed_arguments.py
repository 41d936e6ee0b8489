"""What the user's functions are called with: of some arguments, those that they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

# What motoko 0.1.4 passed of its own command line, besides the workflow's options.
OF_THE_COMMAND = {
    "command": "orchestrator",
    "what": "start",
    "detach": False,
    "wait": 5,
    "verbose": False,
}
# 0.1.4 passes no runs for some conditions, and its functions had to take all of its options.
_OPTIONAL = {"runs", *OF_THE_COMMAND}


def taken(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without those that are optional and that the function does not take."""
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
