"""Charts of a report, as SVG: when runs were executed, and how long they took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from xml.etree.ElementTree import Element

from motoko.cli.render.page_parts import element
from motoko.host.durations import counted, duration, moment
from motoko.reports.timeline import Bar, Bin, Lane, at_once, joined

# Distinct in brightness, too; each has a contrast of at least 4.5 on white.
COLOURS = {
    "created": "#6e7781",
    "running": "#0969da",
    "finished": "#1a7f37",
    "failed": "#cf222e",
}
OWN_STATE = "#8250df"  # states that users give
WIDTH = 720  # in the units of a drawing, as all that follows
LEFT, RIGHT = 96, 8
NARROW, NARROW_LEFT = 400, 40  # of a histogram
LANE, LANE_LEAST = 14, 3
LANES_MAX = 120  # more lanes are drawn as a count
AREA = 140
AXIS = 24
STEPS_MAX = 2_000  # of an area
TITLED_MAX = 3_000  # this many bars have a title of their own
_SPANS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_DAY = 86400


def colour(kind: str) -> str:
    """The colour of a state's column: see :func:`motoko.reports.overview.column`."""
    return COLOURS.get(kind, OWN_STATE)


def timeline(lanes: Sequence[Lane]) -> Element:
    """When runs were executed: a line for each slot, or, with too many, how many ran at a time."""
    bars = [bar for lane in lanes for bar in lane.bars]
    start, end = min(bar.start for bar in bars), max(bar.end for bar in bars)
    end = max(end, start + 0.001)
    scale = (WIDTH - LEFT - RIGHT) / (end - start)
    if len(lanes) > LANES_MAX:
        height, drawn = AREA, _area(bars, start, scale)
        what = "How many runs were executed at a time"
    else:
        lane_height = max(LANE_LEAST, min(LANE, 640 // len(lanes)))
        height, drawn = lane_height * len(lanes), _lanes(lanes, lane_height, start, scale)
        what = "When runs were executed: a line for each run that was executed at the same time"
    what += f", from {moment(start)} to {moment(end)}, {counted(sum(b.count for b in bars), 'run')}"
    return _drawing(what, WIDTH, height + AXIS, [*_time_axis(start, end, scale, height), *drawn])


def histogram(bins: Sequence[Bin]) -> Element:
    """How long runs took."""
    most = max(one.count for one in bins)
    height, width = 120, (NARROW - NARROW_LEFT - RIGHT) / len(bins)
    drawn = []
    for place, one in enumerate(bins):
        tall = height * one.count / most
        span = f"{duration(one.low)} to {duration(one.high)}: {counted(one.count, 'run')}"
        drawn.append(
            element(
                "rect",
                element("title", span),
                x=_n(NARROW_LEFT + place * width + 0.5),
                y=_n(height - tall),
                width=_n(max(0.5, width - 1)),
                height=_n(tall),
                fill=COLOURS["finished"],
            )
        )
    for place in range(0, len(bins), -(-len(bins) // 5)):
        x = NARROW_LEFT + place * width
        drawn += [
            _line(x, height, x, height + 4),
            _label(x, height + 16, duration(bins[place].low)),
        ]
    left = NARROW_LEFT - 6
    drawn += [_label(left, 10, str(most), "end"), _label(left, height, "0", "end")]
    drawn.append(_line(NARROW_LEFT, height, NARROW - RIGHT, height))
    what = f"How long runs took: {duration(bins[0].low)} to {duration(bins[-1].high)}"
    return _drawing(what, NARROW, height + AXIS, drawn)


def state_bar(counts: Iterable[tuple[str, int]]) -> Element:
    """The states of runs, as parts of a bar."""
    parts = [(kind, count) for kind, count in counts if count]
    whole = sum(count for _, count in parts) or 1
    return element(
        "div",
        *(
            element(
                "span",
                style=f"width:{100 * count / whole:.3f}%;background:{colour(kind)}",
                title=f"{count} {kind}",
            )
            for kind, count in parts
        ),
        class_="states",
        role="img",
        aria_label=", ".join(f"{count} {kind}" for kind, count in parts) or "no runs",
    )


def legend(kinds: Iterable[str]) -> Element:
    """What the colours mean."""
    return element(
        "ul",
        *(element("li", element("span", style=f"background:{colour(k)}"), k) for k in kinds),
        class_="legend",
    )


def _lanes(lanes: Sequence[Lane], height: int, start: float, scale: float) -> list[Element]:
    drawn: list[Element] = []
    titled = sum(len(lane.bars) for lane in lanes) <= TITLED_MAX
    step = max(1, -(-12 // height))  # so that labels do not overlap
    for row, lane in enumerate(lanes):
        if lane.number == 1 or row % step == 0:
            last = drawn and row and lanes[row - 1].place == lane.place
            if lane.number == 1 or (last and (lane.number - 1) % step == 0):
                name = f"{lane.place[-10:]} {lane.number}"
                drawn.append(_label(LEFT - 6, row * height + min(height, 12) - 2, name, "end"))
        for bar in joined(lane.bars, 0.7 / scale):
            rect = element(
                "rect",
                x=_n(LEFT + (bar.start - start) * scale),
                y=str(row * height + (1 if height > 4 else 0)),
                width=_n(max(0.7, (bar.end - bar.start) * scale)),
                height=str(height - (2 if height > 4 else 1)),
                fill=colour(bar.kind[1]),
            )
            if titled or bar.count > 1:
                rect.append(element("title", _told(bar)))
            drawn.append(rect)
    return drawn


def _told(bar: Bar) -> str:
    study, kind = bar.kind
    what = bar.run if bar.run else f"{counted(bar.count, 'run')} of {study}"
    return f"{what}: {kind}, {duration(bar.end - bar.start)} from {moment(bar.start)}"


def _area(bars: Iterable[Bar], start: float, scale: float) -> list[Element]:
    steps = at_once(bars)
    most = max(count for _, count in steps)
    width = (WIDTH - LEFT - RIGHT) / STEPS_MAX
    heights: dict[int, int] = {}  # the highest count in each column that is told apart
    before = 0
    for at, count in steps:
        place = int((at - start) * scale / width)
        heights[place] = max(heights.get(place, before), count)
        before = count
    points, last = [f"M{LEFT},{AREA}"], 0
    for place in sorted(heights):
        x = LEFT + place * width
        points.append(f"H{_n(x)}V{_n(AREA * (1 - heights[place] / most))}")
        last = heights[place]
    points.append(f"H{WIDTH - RIGHT}V{AREA}Z" if last else f"V{AREA}Z")
    return [
        element("path", d="".join(points), fill=COLOURS["running"]),
        _label(LEFT - 8, 10, str(most), "end"),
        _label(LEFT - 8, AREA, "0", "end"),
    ]


def _time_axis(start: float, end: float, scale: float, height: float) -> list[Element]:
    """Ticks at round local times."""
    wanted = (end - start) / 6
    span = next((s for s in _SPANS if s >= wanted), _DAY * max(1, round(wanted / _DAY)))
    offset = datetime.fromtimestamp(start).astimezone().utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    drawn = [_line(LEFT, height, WIDTH - RIGHT, height)]
    form = "%d %b" if span >= _DAY else "%H:%M:%S" if span < 60 else "%H:%M"
    if span < _DAY and end - start > _DAY:
        form = "%d %b %H:%M"
    tick = -(-(start + shift) // span) * span - shift
    while tick <= end:
        x = LEFT + (tick - start) * scale
        drawn.append(_line(x, 0, x, height + 4, faint=True))
        anchor = "end" if x > WIDTH - 50 else "middle"
        drawn.append(_label(x, height + 17, datetime.fromtimestamp(tick).strftime(form), anchor))
        tick += span
    return drawn


def _drawing(what: str, width: float, height: float, content: Iterable[Element]) -> Element:
    # A wide drawing is scrolled on a phone; none grows beyond the size it is made for.
    least = "34rem" if width > NARROW else "0"
    return element(
        "svg",
        element("title", what),
        *content,
        viewBox=f"0 -2 {_n(width)} {_n(height + 4)}",
        role="img",
        font_size="11",
        font_family="system-ui, sans-serif",
        xmlns="http://www.w3.org/2000/svg",
        style=f"width:100%;max-width:{_n(width / 10)}rem;min-width:{least}",
    )


def _label(x: float, y: float, text: str, anchor: str = "start") -> Element:
    return element("text", text, x=_n(x), y=_n(y), text_anchor=anchor, fill="#1f2328")


def _line(x1: float, y1: float, x2: float, y2: float, *, faint: bool = False) -> Element:
    stroke = "#d0d7de" if faint else "#57606a"
    return element("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), stroke=stroke)


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
