"""Values of results as texts, where a text is all that can be had."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from typing import Any


def as_text(value: Any) -> Any:
    """A value as CSV has it: numbers and texts as they are, lists and dicts as JSON."""
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, (list, dict)):
        with contextlib.suppress(TypeError, ValueError):
            return json.dumps(value, ensure_ascii=False)
    if isinstance(value, date):
        return value.isoformat(*([" "] if hasattr(value, "hour") else []))
    return str(value)
