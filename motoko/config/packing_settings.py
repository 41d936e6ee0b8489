"""When Motoko packs databases by itself: ``packing:`` in motoko.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from motoko.config.decoding import Written

NEVER = 0.0
DAYS = 1.0  # of history that packing keeps, unless the user wants something else
_FACTOR = re.compile(r"([0-9]+(?:\.[0-9]+)?)x")
_LEAST = 1.5  # a database that would shrink by less is not worth the copying


def written_factor(value: Any) -> float:
    """``5x`` as 5.0, ``never`` as 0.0. Raises ``ValueError`` for anything else."""
    if value == "never":
        return NEVER
    match = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) < _LEAST:
        raise ValueError(value)
    return float(match[1])


class PackingSettings(Struct, frozen=True):
    """Whether and when a study's server packs its database.

    Attributes:
        when: pack once the file is this many times as large as it would be then; 0: never.
        days: of history that are kept.
    """

    when: Annotated[
        float, Written("never, or a factor", f"such as 5x, at least {_LEAST:g}x", written_factor)
    ] = NEVER
    days: Annotated[float, Meta(ge=0)] = DAYS


NO_PACKING = PackingSettings()
