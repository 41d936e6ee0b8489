"""Finds texts in data that comes in parts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class TextSearch:
    """A search for some texts.

    Args:
        texts: what is searched for, and what each text is.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = {text.encode(): what for text, what in texts.items()}
        self._kept = max(map(len, self._texts), default=1) - 1  # bytes in which a text may begin

    def through(
        self, parts: Iterable[bytes], before: bytes = b""
    ) -> Iterator[tuple[bytes, str | None]]:
        """Each part, with what the first text is that ends in it; ``None`` if none does.

        Args:
            parts: the data, of which only one part is kept.
            before: is searched together with the first part.
        """
        for part in parts:
            around = before + part
            yield part, next((what for text, what in self._texts.items() if text in around), None)
            before = around[-self._kept :] if self._kept else b""
