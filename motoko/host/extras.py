"""Libraries that Motoko works without, and some of its commands do not."""

from __future__ import annotations

import importlib
from typing import Any

from motoko.errors import ConfigError


def extra(module: str, name: str, what: str) -> Any:
    """A module of one of Motoko's extras; ``ConfigError`` where it is missing.

    Args:
        module: which is imported.
        name: the extra: ``"table"``.
        what: that needs it, for the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ConfigError(
            f"{what} needs {library}, which is not here: {error}",
            hint=f"pip install 'motoko[{name}]'",
        ) from error
