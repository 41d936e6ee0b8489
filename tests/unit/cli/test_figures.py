"""Plots as files, and what is said where none can be drawn."""

import contextlib
import sys
from pathlib import Path

import pytest

from motoko.cli.render import figures
from motoko.errors import ConfigError
from motoko.reports.plotted import Axes, Plot, Series

STARTS = {"p.png": b"\x89PNG", "p.SVG": b"<?xml", "p.pdf": b"%PDF"}


@pytest.fixture(scope="module", autouse=True)
def fonts():
    """Matplotlib looks for fonts once on a new machine, by a process, which tests refuse."""
    with contextlib.suppress(ImportError):
        import matplotlib.font_manager  # noqa: F401


def plot(series, categories=(), by="mesh"):
    return Plot(
        "solve: y over x$_1$", Axes("x$", "_y", by), series, list(categories), True, 0, "", None
    )


@pytest.mark.parametrize("name", STARTS)
def test_files(tmp_path, name):
    pytest.importorskip("matplotlib")
    figures.check(tmp_path / name)
    figures.draw(plot([Series("mesh = $q$", [1, 2], [1.5, 2.5])]), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(STARTS[name])
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_stands_in_it(tmp_path):
    """Names with signs of formulas, many series, many categories."""
    pytest.importorskip("matplotlib")
    series = [Series(f"_m$ = {n}", list(range(100)), list(range(100))) for n in range(40)]
    figures.draw(plot(series, [f"c${n}" for n in range(100)]), tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    for what in ("solve: y over x$_1$", "x$", "_y", "c$0", "c$98", " _m$ = 39"):
        assert (f"<!-- {what} -->" in text) == (what != "c$98"), what


def test_what_cannot_be_drawn(monkeypatch):
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    with pytest.raises(ConfigError, match="no display") as caught:
        figures.check(None)
    assert caught.value.hint == "have it written: -o plot.png"
    with pytest.raises(ConfigError, match=r"p\.gif"):
        figures.check(Path("p.gif"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="matplotlib") as caught:
        figures.check(Path("p.png"))
    assert caught.value.hint == "pip install 'motoko[plot]'"
