"""Which values a column has, in a few words. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from motoko.host.printable import shortened
from motoko.mirror.scalars import LeftOut
from motoko.reports.result_texts import as_text

NAMED = 6  # at most this many values are named one by one
KEPT = 1_000  # at most this many different values are told apart
LONG = 40  # longer values are cut


class ValueRange:
    """The values of one column, noted as they come.

    Attributes:
        name: the column's name.
        count: how many values it has.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self._texts: dict[Any, None] = {}
        self._low, self._high = math.inf, -math.inf
        self._is_numeric = True

    def add(self, values: Iterable[Any]) -> None:
        """Note some values; ``None`` is no value."""
        for value in values:
            if value is None:
                continue
            self.count += 1
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                if value < self._low:
                    self._low = value
                if value > self._high:
                    self._high = value
            else:
                self._is_numeric = False
            if len(self._texts) < KEPT:
                self._texts.setdefault(value if _is_plain(value) else _text(value))

    @property
    def different(self) -> int:
        """How many different values there are; at most ``KEPT`` are told apart."""
        return len(self._texts)

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return self.count > 0 and self._is_numeric

    @property
    def described(self) -> str:
        """The values in words: ``1, 2, 4``, or ``0.5 to 12 (240 values)``."""
        if not self.count:
            return "no value"
        values = list(self._texts)
        if self.is_numeric:
            values.sort()
        texts = [_text(value) for value in values[:NAMED]]
        if len(values) > 1 and max(map(len, texts)) >= LONG:
            return f"{texts[0]} ... ({len(values)} values)"
        if len(values) <= NAMED:
            return ", ".join(texts)
        many = f"{KEPT} or more" if len(values) >= KEPT else str(len(values))
        if self.is_numeric:
            return f"{_text(self._low)} to {_text(self._high)} ({many} values)"
        return f"{', '.join(texts[: NAMED - 1])} ... ({many} values)"


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float, str))


def _text(value: Any) -> str:
    if isinstance(value, LeftOut):
        return f"<{value.what}>"
    text = f"{value:.6g}" if isinstance(value, float) else str(as_text(value))
    return shortened(text, LONG)
