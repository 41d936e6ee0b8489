"""Optional libraries, which only some of Motoko's commands need."""

from __future__ import annotations

import importlib
from typing import Any

from motoko.errors import ConfigError


def extra(module: str, name: str, what: str) -> Any:
    """A module of one of Motoko's extras; ``ConfigError`` if it is missing.

    Args:
        module: the module to import.
        name: the name of the extra, such as ``"table"``.
        what: what needs it, for the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ConfigError(
            f"{what} needs {library}, which is not installed: {error}",
            hint=f"pip install 'motoko[{name}]'",
        ) from error
