"""A graph as a drawing in SVG, in layers: what came before stands above what came after.

Pure logic, which needs no other program. An edge over several layers has a place of its own in
those between, so that no node hides it. Edges that close a circle (runs of a study led to runs of
a study above it) go up beside the layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from textwrap import wrap

from motoko.host.printable import printable
from motoko.reports.graph_texts import COLOURS
from motoko.reports.run_graph import Graph, Node

LETTER, LINE = 7.3, 17.0  # the size of a letter, in pixels
PAD, GAP_X, GAP_Y, MARGIN = 12.0, 28.0, 56.0, 20.0
SWEEPS = 6
NOTE_WIDTH = 60  # letters

Edge = tuple[str, str]


@dataclass
class _Box:
    """Where a node is drawn, or an edge passes a layer: its middle, and its size.

    Attributes:
        aside: the room at its right for an edge to itself.
    """

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    aside: float = 0.0

    @property
    def right(self) -> float:
        """Where what belongs to it ends."""
        return self.x + self.width / 2 + self.aside


def svg(graph: Graph) -> str:
    """The drawing; it has the graph's title, and a text for those who cannot see it."""
    layers = _layers(graph)
    ways = {ends: [*_way(layers, *ends)] for ends in graph.edges}
    boxes = {key: _box(node) for key, node in graph.nodes.items()}
    boxes |= {
        key: _Box(max(8.0, LETTER * len(graph.edges[ends])), 0.0)
        for ends, way in ways.items()
        for key in way[1:-1]
    }
    for source, target in graph.edges:
        if source == target:
            boxes[source].aside = GAP_X + LETTER * len(graph.edges[source, target])
    width, height = _place(_ordered(layers, list(ways.values())), boxes)
    lines = {
        ends: _line([boxes[key] for key in way], boxes.values(), graph.edges[ends])
        for ends, way in ways.items()
    }
    edges = [line.drawn for line in lines.values()]
    edges += [_label(*lines[ends].middle, text) for ends, text in graph.edges.items() if text]
    nodes = [_node(node, boxes[key]) for key, node in graph.nodes.items()]
    described = "; ".join(f"{before} led to {after}" for before, after in list(graph.edges)[:100])
    loops = GAP_X + LETTER * 8 if graph.edges else 0.0  # edges beside the layers
    notes = [*_wrapped(graph.notes)]
    whole = max([width + loops, *(len(line) * LETTER + 2 * MARGIN for line in notes)])
    whole_height = height + LINE * len(notes)
    below = [
        f'<text x="{MARGIN:.0f}" y="{height + LINE * number:.1f}">{_text(line)}</text>'
        for number, line in enumerate(notes)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" font-size="13" '
            f'viewBox="0 0 {whole:.0f} {whole_height:.0f}" '
            f'width="{whole:.0f}" height="{whole_height:.0f}" '
            f'font-family="system-ui, sans-serif">',
            f"<title>{_text(graph.title)}</title>",
            f"<desc>{_text(described)}</desc>",
            '<defs><marker id="motoko-arrow" viewBox="0 0 8 8" refX="8" refY="4" '
            'markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
            '<path d="M0 0L8 4L0 8z" fill="#555555"/></marker></defs>',
            *edges,
            *nodes,
            f'<g fill="#444444">{"".join(below)}</g>',
            "</svg>\n",
        ]
    )


def _wrapped(notes: Iterable[str]) -> Iterator[str]:
    for note in notes:
        yield from wrap(note, NOTE_WIDTH, break_on_hyphens=False)


def _layers(graph: Graph) -> dict[str, int]:
    """The layer of each node: below all nodes that lead to it, except where that makes a circle."""
    before: dict[str, list[str]] = {key: [] for key in graph.nodes}
    after: dict[str, list[str]] = {key: [] for key in graph.nodes}
    for source, target in graph.edges:
        if source != target:
            before[target].append(source)
            after[source].append(target)
    layers: dict[str, int] = {}
    missing = {key: len(sources) for key, sources in before.items()}
    left = dict.fromkeys(graph.nodes)
    ready = [key for key in graph.nodes if not missing[key]]
    while left:
        if not ready:  # a circle: it begins with the node of which the fewest are missing
            ready = [min(left, key=lambda key: missing[key])]
        key = ready.pop(0)
        if key not in left:
            continue
        del left[key]
        layers[key] = 1 + max((layers[b] for b in before[key] if b in layers), default=-1)
        for target in after[key]:
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return layers


def _way(layers: dict[str, int], source: str, target: str) -> Iterator[str]:
    """The ends of an edge and, between them, its places in the layers that it passes, made here."""
    yield source
    for layer in range(layers[source] + 1, layers[target]):
        key = f"{source}\0{target}\0{layer}"
        layers[key] = layer
        yield key
    yield target


def _ordered(layers: dict[str, int], ways: Iterable[list[str]]) -> list[list[str]]:
    """What is in each layer, in an order in which few edges cross."""
    rows: list[list[str]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for key, layer in layers.items():
        rows[layer].append(key)
    near: dict[str, list[str]] = {key: [] for key in layers}
    for way in ways:
        for source, target in pairwise(way):
            near[source].append(target)
            near[target].append(source)
    for sweep in range(SWEEPS):
        place = {key: at / len(row) for row in rows for at, key in enumerate(row)}
        for row in rows if sweep % 2 == 0 else reversed(rows):
            middle = {
                key: sum(place[other] for other in near[key]) / len(near[key])
                if near[key]
                else place[key]
                for key in row
            }
            row.sort(key=middle.__getitem__)
            place |= {key: at / len(row) for at, key in enumerate(row)}
    return rows


def _box(node: Node) -> _Box:
    if node.is_junction:
        return _Box(8.0, 8.0)
    longest = max(map(len, node.label))
    return _Box(longest * LETTER + 2 * PAD, len(node.label) * LINE + 2 * PAD - 4)


def _place(rows: Iterable[list[str]], boxes: dict[str, _Box]) -> tuple[float, float]:
    """Set where all boxes are; returns the width and height of the drawing."""
    rows = list(rows)
    widths = [
        sum(boxes[key].width + boxes[key].aside for key in row) + GAP_X * (len(row) - 1)
        for row in rows
    ]
    width = max(widths, default=0.0) + 2 * MARGIN
    top = MARGIN
    for row, own in zip(rows, widths, strict=True):
        height = max(boxes[key].height for key in row)
        left = (width - own) / 2
        for key in row:
            box = boxes[key]
            box.x, box.y = left + box.width / 2, top + height / 2
            box.height = box.height or height  # an edge passes the whole layer
            left += box.width + box.aside + GAP_X
        top += height + GAP_Y
    return width, top - GAP_Y + MARGIN if rows else 2 * MARGIN


@dataclass(frozen=True)
class _Line:
    """An edge as it is drawn, and where its text stands."""

    path: str
    middle: tuple[float, float]

    @property
    def drawn(self) -> str:
        return (
            f'<path d="{self.path}" fill="none" stroke="#555555" marker-end="url(#motoko-arrow)"/>'
        )


def _line(way: Sequence[_Box], boxes: Iterable[_Box], text: str) -> _Line:
    a, b = way[0], way[-1]
    if a is b:
        return _loop(a, text)
    if a.y > b.y:
        return _upwards(a, b, boxes)
    if a.y == b.y:  # a bow above what is between them
        top, peak = a.y - a.height / 2, a.y - a.height / 2 - GAP_Y * 0.6
        path = f"M{a.x:.1f} {top:.1f}{_curve(a.x, peak, b.x, peak, b.x, b.y - b.height / 2)}"
        return _Line(path, ((a.x + b.x) / 2, top - GAP_Y * 0.45))
    path = ""
    for above, below in pairwise(way):
        x1, y1 = above.x, above.y + above.height / 2
        x2, y2 = below.x, below.y - below.height / 2
        bend = (y2 - y1) / 2
        path += f"{'L' if path else 'M'}{x1:.1f} {y1:.1f}"
        path += _curve(x1, y1 + bend, x2, y2 - bend, x2, y2)
    return _Line(path, (way[1].x, way[1].y) if len(way) > 2 else ((x1 + x2) / 2, (y1 + y2) / 2))


def _loop(box: _Box, text: str) -> _Line:
    """An edge to itself: a bow on the right."""
    x, y1, y2 = box.x + box.width / 2, box.y - box.height / 4, box.y + box.height / 4
    far = x + GAP_X
    path = f"M{x:.1f} {y1:.1f}{_curve(far, y1, far, y2, x, y2)}"
    # The curve goes three quarters of the way to where it is drawn to.
    return _Line(path, (x + 0.75 * GAP_X + LETTER * len(text) / 2 + 3, box.y))


def _upwards(a: _Box, b: _Box, boxes: Iterable[_Box]) -> _Line:
    """An edge that closes a circle: on the right of all that is between its ends."""
    x1, y1 = a.x + a.width / 4, a.y - a.height / 2
    x2, y2 = b.x + b.width / 4, b.y + b.height / 2
    bend = GAP_Y / 2
    between = [box.right for box in boxes if b.y < box.y < a.y]
    if not between:
        path = f"M{x1:.1f} {y1:.1f}{_curve(x1, y1 - bend, x2, y2 + bend, x2, y2)}"
        return _Line(path, ((x1 + x2) / 2, (y1 + y2) / 2))
    far = max(between) + GAP_X / 2
    path = (
        f"M{x1:.1f} {y1:.1f}{_curve(x1, y1 - bend, far, y1, far, y1 - bend)}"
        f"L{far:.1f} {y2 + bend:.1f}{_curve(far, y2, x2, y2 + bend, x2, y2)}"
    )
    return _Line(path, (far, (y1 + y2) / 2))


def _curve(*values: float) -> str:
    return f"C{' '.join(f'{value:.1f}' for value in values)}"


def _label(x: float, y: float, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="#222222" '
        f'stroke="#ffffff" stroke-width="6" paint-order="stroke">{_text(text)}</text>'
    )


def _node(node: Node, box: _Box) -> str:
    fill, outline = COLOURS[node.status]
    if node.is_junction:
        return f'<circle cx="{box.x:.1f}" cy="{box.y:.1f}" r="4" fill="#555555"/>'
    left, top = box.x - box.width / 2, box.y - box.height / 2
    parts = [
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="6" fill="{fill}" stroke="{outline}"/>'
    ]
    for number, line in enumerate(node.label):
        y = top + PAD + LINE * number + 11
        weight = ' font-weight="600"' if number == 0 else ""
        parts.append(
            f'<text x="{box.x:.1f}" y="{y:.1f}" text-anchor="middle" fill="#000000"{weight}>'
            f"{_text(line)}</text>"
        )
    return f"<g>{''.join(parts)}</g>"


def _text(text: str) -> str:
    return escape(printable(text))
