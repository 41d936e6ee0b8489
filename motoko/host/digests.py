"""Short names for long texts."""

from __future__ import annotations

import hashlib
import os


def digest(text: str) -> str:
    """A short name for a long text: 16 hexadecimal digits."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
