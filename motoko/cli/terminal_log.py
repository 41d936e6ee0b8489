"""An orchestrator's warnings on the terminal."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class _OnTerminal(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the time: a live table puts itself there, and is not spoilt."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_terminal(verbose: bool = False) -> None:
    """Show an orchestrator's warnings, and with ``verbose`` also what is fired, on stderr."""
    logger = logging.getLogger("motoko")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    handler = _OnTerminal()
    handler.setFormatter(logging.Formatter("motoko: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
