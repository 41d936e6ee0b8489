"""An orchestrator's warnings on the terminal."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class _OnTerminal(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``: a live table replaces it, and so is not disturbed."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_terminal(verbose: bool = False) -> None:
    """Show an orchestrator's warnings, and with ``verbose`` also fired actions, on stderr."""
    logger = logging.getLogger("motoko")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    handler = _OnTerminal()
    handler.setFormatter(logging.Formatter("motoko: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
