"""Finding a study's jobs by their parameters: by name and by value.

BlackDynamite's index is keyed by the tuple of a job's values, without their names. It compares as
Python does (``[2] == [2.0]``), and all its keys must be comparable with each other. So a job found
there is checked before it is taken. Jobs that have no place there (values without an order, or a
place that is another job's) are in Motoko's own index, by a digest of names and values.

Earlier versions kept other keys in Motoko's index: values as texts. These are recognised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from BTrees.OOBTree import OOBTree

from motoko.store.values import check_parameters, digest, plain, same_parameter

OWN_INDEX = "motokojobsindex"  # as BlackDynamite spells keys: lower case
_NUMBERS = (bool, int, float)


class JobPlace:
    """Where a job is in a study's indexes, or will be.

    Attributes:
        values: the job's parameters, as they will be stored.
        key: the job's key in BlackDynamite's index; ``None`` if it cannot be there.

    Raises ``ParameterError`` for a value that no other process could find again.
    """

    def __init__(self, content: Any, study: str, given: Mapping[str, Any]) -> None:
        self._content = content
        self._given = given
        self.values = {name: plain(value) for name, value in given.items()}
        ordered = [value for _, value in sorted(self.values.items())]
        self.key = tuple(ordered) if all(_is_comparable(value) for value in ordered) else None
        if self.key is None:
            check_parameters(study, "job", self.values)

    def candidates(self) -> Iterator[int]:
        """The numbers of jobs that may be the one; :meth:`is_of` tells which is."""
        if self.key is not None:
            with contextlib.suppress(TypeError):  # other keys there have other types
                number = self._content["JobsIndex"].get(self.key)
                if number is not None:
                    yield number
        if OWN_INDEX in self._content.entries:
            own = self._content[OWN_INDEX]
            for key in (self._digest, self._old_text):
                if (number := own.get(key)) is not None:
                    yield number

    def is_of(self, entries: Mapping[str, Any]) -> bool:
        """Whether a job's entries are these parameters."""
        return all(
            name in entries and same_parameter(plain(entries[name]), value)
            for name, value in self.values.items()
        )

    def note(self, number: int) -> None:
        """Note that the job with these values has this number."""
        if self.key is not None:
            index = self._content["JobsIndex"]
            with contextlib.suppress(TypeError):  # other keys there have other types
                if index.get(self.key) not in self._content["Jobs"].entries:
                    index[self.key] = number
                    return
        if OWN_INDEX not in self._content.entries:
            self._content[OWN_INDEX] = OOBTree()
        self._content[OWN_INDEX][self._digest] = number

    @cached_property
    def _digest(self) -> str:
        return digest(self.values)

    @cached_property
    def _old_text(self) -> str:
        """The key that earlier versions used."""
        return repr([_old_form(value) for _, value in sorted(self._given.items())])


def _is_comparable(value: Any) -> bool:
    if type(value) is list:
        return all(type(item) in _NUMBERS and item == item for item in value) or all(
            type(item) is str for item in value
        )
    return type(value) in (*_NUMBERS, str) and value == value


def _old_form(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return {str(key): _old_form(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_old_form(item) for item in value]
    return value
