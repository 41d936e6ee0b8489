"""Plots of results with matplotlib, which is an extra: ``motoko[plot]``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from motoko.cli.render.written_tables import replaced
from motoko.errors import ConfigError
from motoko.host.extras import extra
from motoko.reports.plotted import Plot

SUFFIXES = ("png", "svg", "pdf")
SIZE = (8, 5)  # inches
SMALL = (5.2, 3.8)  # of plots that share a page
POINTS_MAX = 2_000  # beyond this, the points of a series become pixels
DPI = 150
MANY = 10  # up to this many series have distinct colours
TICKS_MAX = 40  # at most this many categories are named
LEVEL = 48  # this many letters fit horizontally below the axis
MARKERS = "os^Dv<>Pp*"


def check(output: Path | None) -> None:
    """Raise ``ConfigError`` if a plot cannot be drawn, or cannot be shown, here."""
    extra("matplotlib", "plot", "A plot")
    if output is not None and output.suffix.removeprefix(".").lower() not in SUFFIXES:
        raise ConfigError(
            f"{output}: its name does not say how it is to be drawn",
            hint=f"call it *.{', *.'.join(SUFFIXES)}",
        )
    if output is None and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _no_window("there is no display")


def draw(plot: Plot, output: Path | None) -> None:
    """Draw a plot into a file, which appears only when complete; or show it in a window."""
    if output is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE, layout="constrained")
        _draw(plot, figure)
        with replaced(output) as path:
            form = output.suffix.removeprefix(".").lower()
            figure.savefig(path, format=form, dpi=DPI)
        return
    import matplotlib
    from matplotlib import pyplot

    try:
        figure = pyplot.figure(figsize=SIZE, layout="constrained")
    except ImportError as error:
        raise _no_window(str(error)) from error
    backend = str(matplotlib.get_backend())
    if backend.lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        raise _no_window(f"matplotlib knows none here (its backend is {backend})")
    _draw(plot, figure)
    pyplot.show(block=True)


def draw_small(plot: Plot, file: BinaryIO) -> None:
    """Draw a plot as SVG without its title, small enough for a page with several.

    Raises ``ConfigError`` if matplotlib is missing.
    """
    extra("matplotlib", "plot", "A plot")
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=SMALL, layout="constrained")
    # Texts stay texts: small, and drawn with the reader's fonts.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        _draw(plot, figure, has_title=False)
        figure.savefig(file, format="svg", dpi=DPI, metadata={"Date": None})


def _no_window(why: str) -> ConfigError:
    return ConfigError(
        f"a plot cannot be shown in a window: {why}", hint="have it written: -o plot.png"
    )


def _draw(plot: Plot, figure: Any, *, has_title: bool = True) -> None:
    import matplotlib

    axes = figure.add_subplot()
    count = len(plot.series)
    colours = matplotlib.colormaps["viridis" if count > MANY else "tab10"]
    for number, series in enumerate(plot.series):
        (line,) = axes.plot(
            series.x,
            series.y,
            linestyle="-" if plot.has_lines else "",
            marker=MARKERS[number % len(MARKERS)],
            markersize=5 if len(series.x) <= 500 else 2,
            color=colours(number / count) if count > MANY else colours(number),
            rasterized=len(series.x) > POINTS_MAX,
        )
        line.set_label(f" {series.label}")  # the legend leaves out labels that begin with _
    # Names may contain $, which does not start a formula here.
    if has_title:
        axes.set_title(_wrapped(plot.title), fontsize="medium", parse_math=False)
    axes.set_xlabel(plot.axes.x, parse_math=False)
    axes.set_ylabel(plot.axes.y, parse_math=False)
    axes.grid(visible=True, alpha=0.3)
    if plot.categories:
        step = -(-len(plot.categories) // TICKS_MAX)
        shown = plot.categories[::step]
        turned = sum(map(len, shown)) > LEVEL
        axes.set_xticks(
            range(0, len(plot.categories), step),
            labels=shown,
            parse_math=False,
            rotation=45 if turned else 0,
            ha="right" if turned else "center",
        )
        axes.margins(x=max(0.05, 0.5 / len(plot.categories)))
    if plot.axes.by is not None:
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if count > MANY else {}
        size = "x-small" if count > MANY else "small"
        legend = axes.legend(fontsize=size, ncols=1 + count // 21, **beside)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 90)[:4])
