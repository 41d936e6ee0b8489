"""Whether other hosts can reach the workflow, and where: ``remote:`` in motoko.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]


class Remote(Struct, frozen=True):
    """Whether and where the gate listens.

    Attributes:
        wanted: whether it listens; ``None``: if runs may be on other hosts.
        address: an address or name of this host; ``None``: the address towards the nodes.
        port: its port; ``None``: a free port, the same at each start.
    """

    wanted: bool | None = None
    address: Annotated[str, Meta(min_length=1)] | None = None
    port: Port | None = None


def written_remote(value: Any) -> dict[str, Any]:
    """The fields of :class:`Remote`, from what a user writes. Raises ``ValueError``."""
    if isinstance(value, bool):
        return {"wanted": value}
    if not isinstance(value, Mapping) or not value or value.keys() - {"address", "port"}:
        raise ValueError(value)
    return {"wanted": True, **value}
