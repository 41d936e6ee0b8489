"""Programs of the environment that Motoko is installed in."""

from __future__ import annotations

import sys
from pathlib import Path


def program(name: str) -> str:
    """The path of a program next to this Python, or its bare name if it is not there."""
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else name
