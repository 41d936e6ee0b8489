"""Values of results as texts, for formats that have nothing else."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from typing import Any


def as_text(value: Any) -> Any:
    """A value as in CSV: numbers and texts unchanged, lists and dicts as JSON."""
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, (list, dict)):
        with contextlib.suppress(TypeError, ValueError):
            return json.dumps(value, ensure_ascii=False)
    if isinstance(value, date):
        return value.isoformat(*([" "] if hasattr(value, "hour") else []))
    return str(value)
