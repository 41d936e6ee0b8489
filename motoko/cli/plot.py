"""``motoko plot``: a picture of a study's results."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render import figures, written_tables
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import constraints_option, study_argument, study_named
from motoko.cli.texts import TEXT
from motoko.config import load
from motoko.host.durations import counted


@click.command(short_help="Plot results of a study's runs.")
@study_argument()
@click.option("--x", required=True, type=TEXT, metavar="COLUMN", help="The column on the x axis.")
@click.option("--y", required=True, type=TEXT, metavar="COLUMN", help="Numbers, on the y axis.")
@click.option("--by", type=TEXT, metavar="COLUMN", help="Plot a series for each value of it.")
@constraints_option('Only runs that obey these, such as "state = FINISHED, x < 3".')
@click.option("--run_name", type=TEXT, help="Only runs of this run_name.")
@click.option(
    *("output", "-o", "--output"),
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plot into a *.png, *.svg or *.pdf file, instead of showing it in a window.",
)
def command(
    bd_study: str,
    x: str,
    y: str,
    by: str | None,
    constraints: tuple[str, ...],
    run_name: str | None,
    output: Path | None,
) -> None:
    """Plot results of a study's runs, one column over another.

    Columns are those of `motoko table`. Points of a series are joined if x is a parameter, each x
    has one y, and no other job parameter differs among them. Values on the x axis that are not
    numbers are categories. Runs without a value are left out, and counted on standard error. The
    command works with and without a supervisor, and changes nothing.

    \b
    Examples:
      motoko plot solve --x load --y energy --by mesh -o energy.png
      motoko plot solve --x load --y energy --constraints "state = FINISHED, mesh = 32"
    """
    from motoko.reports.plotted import Axes, plotted

    config = load()
    study = study_named(config, bd_study)
    tell_standing(config, [study])
    figures.check(output)
    plot = plotted(config, study, Axes(x, y, by), constraints, run_name)
    written_tables.tell_of(study.name, plot.without)
    if plot.left_out:
        click.echo(
            f"{study.name}: {counted(plot.left_out, 'run')} without {x} or {y} left out", err=True
        )
    figures.draw(plot, output)
    written_tables.tell_when(study.name, plot.tid)
