"""What ``motoko report`` shows of results: ``report:`` in motoko.yaml."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from motoko.config.decoding import Hint

_Text = Annotated[str, Meta(min_length=1)]


class ReportPlot(Struct, frozen=True):
    """One plot of a study's results: its columns, as ``motoko plot`` takes them."""

    study: Annotated[_Text, Hint("name a study")]
    x: Annotated[_Text, Hint("name a column, such as a parameter")]
    y: Annotated[_Text, Hint("name a column of numbers, such as a result")]
    by: _Text | None = None
    constraints: _Text | None = None


class ReportSettings(Struct, frozen=True):
    """The title of the report, and its plots; without plots, the report chooses some."""

    title: _Text | None = None
    plots: (
        Annotated[
            tuple[ReportPlot, ...],
            Hint("write a list of plots: - {study: solve, x: load, y: energy, by: mesh}"),
        ]
        | None
    ) = None
