"""The output of `motoko diff`, for people."""

from __future__ import annotations

from collections.abc import Sequence

import click

from motoko.cli.render.tables import show_table
from motoko.reports.run_differences import Difference


def show(first: str, second: str, differences: Sequence[Difference]) -> None:
    """Print a table of what differs, then the differing lines of files."""
    if not differences:
        click.echo(f"{first} and {second} do not differ")
        return
    show_table(
        ("", "", first, second),
        [[one.kind, one.name, one.before, one.after] for one in differences],
    )
    for difference in differences:
        if difference.lines:
            click.echo(f"\n{difference.name}: {first} (-), {second} (+)")
            for line in difference.lines:
                click.echo(f"  {line}")
