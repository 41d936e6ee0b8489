"""The graph of studies and of runs, and its texts and drawing."""

import re
from xml.etree import ElementTree

import pytest

from motoko.errors import ConfigError
from motoko.reports.graph_texts import dot, mermaid
from motoko.reports.layered_drawing import svg
from motoko.reports.run_graph import RUNS_MAX, Row, of_runs, of_studies

ROWS = [
    *(Row("mesh", n, "FINISHED", "") for n in (1, 2, 3)),
    *(Row("solve", n, "FINISHED", "mesh:1-3") for n in (1, 2)),
    Row("solve", 3, "FAILED", "", ("mesh.3",)),
    Row("mesh", 4, "CREATED", "mesh:1-3;solve:1-2"),
    Row("mesh", 5, "launched", "mesh:4;gone:1"),
]
NASTY = '<b>"&;\\#|</b>\u202e'


def test_studies():
    graph = of_studies("flow", ["mesh", "solve", "idle"], ROWS)
    assert graph.edges == {
        ("mesh", "mesh"): "2",
        ("mesh", "solve"): "3",
        ("solve", "mesh"): "1",
    }
    mesh, solve, idle = graph.nodes.values()
    assert mesh.label == ("mesh", "5 runs", "3 FINISHED", "1 CREATED", "1 launched")
    assert (mesh.status, solve.status, idle.status) == ("running", "failed", "")


def test_runs():
    graph = of_runs("flow", ROWS)
    ends = set(graph.edges)
    assert {("mesh.3", "solve.3"), ("mesh.4", "mesh.5")} <= ends
    # Three meshes led to two others: by a junction.
    assert ("mesh.1", "mesh.4") not in ends  # solve.1 is between them
    (junction,) = [key for key, node in graph.nodes.items() if node.is_junction]
    assert {(f"mesh.{n}", junction) for n in (1, 2, 3)} <= ends
    assert {(junction, "solve.1"), (junction, "solve.2")} <= ends
    with pytest.raises(ConfigError, match="301 runs are too many"):
        of_runs("flow", [Row("s", n, "CREATED", "") for n in range(RUNS_MAX + 1)])


def test_texts():
    graph = of_studies("flow", ["mesh", "solve"], ROWS)
    graph.notes = ("as of 2030-01-31 12:00:00", 'no supervisor: "x" <')
    assert mermaid(graph).splitlines()[:7] == [
        "---",
        'title: "flow, as of 2030-01-31 12:00:00; no supervisor:  x   "',
        "---",
        "flowchart TD",
        '  n0["mesh<br/>5 runs<br/>3 FINISHED<br/>1 CREATED<br/>1 launched"]',
        '  n1["solve<br/>3 runs<br/>2 FINISHED<br/>1 FAILED"]',
        '  n0 -->|"2"| n0',
    ]
    assert "class n1 failed" in mermaid(graph)
    assert '  n0 -> n1 [label="3"]' in dot(graph).splitlines()
    label = r'  label="flow\nas of 2030-01-31 12:00:00\nno supervisor: \"x\" <"'
    assert label in dot(graph).splitlines()


@pytest.mark.parametrize("make", [of_studies, of_runs])
def test_what_users_write_is_a_text(make):
    rows = [Row(NASTY, 1, NASTY, ""), Row(NASTY, 2, "FINISHED", f"{NASTY}:1")]
    graph = make(NASTY, rows) if make is of_runs else make(NASTY, [NASTY], rows)
    drawing = ElementTree.fromstring(svg(graph))
    texts = "".join(drawing.itertext())
    assert '<b>"&;\\#|</b>\N{REPLACEMENT CHARACTER}' in texts
    assert "\u202e" not in texts and not drawing.findall(".//{*}b")
    for text in (mermaid(graph), dot(graph)):
        assert "\u202e" not in text and "</b>" not in text.replace('\\"', "").split("label=")[0]
    for label in re.findall(r'\["(.*)"\]', mermaid(graph)):
        assert not set(label.replace("<br/>", "")) & set('<>"&|\\')


def test_drawing():
    """Boxes do not overlap, and lie inside of the drawing."""
    graph = of_runs("flow", ROWS)
    graph.notes = ("as of 2030-01-31 12:00:00", "what is not known " * 10)
    drawing = ElementTree.fromstring(svg(graph))
    notes = drawing.findall("{*}g[@fill]/{*}text")
    assert notes[0].text == graph.notes[0] and len(notes) == 4
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    boxes = [
        tuple(float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        for box in drawing.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert len(boxes) == len(ROWS)
    assert all(float(note.attrib["y"]) + 5 <= height for note in notes)
    for x, y, w, h in boxes:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        assert all(y + h < float(note.attrib["y"]) - 13 for note in notes)
        others = [other for other in boxes if other != (x, y, w, h)]
        assert not any(
            x < o[0] + o[2] and o[0] < x + w and y < o[1] + o[3] and o[1] < y + h for o in others
        )
    assert svg(of_studies("empty", [], [])).startswith("<svg")


def test_no_edge_is_hidden():
    """Not even over several layers, upwards, or beside other nodes."""
    rows = [
        *(Row(name, 1, "FINISHED", before) for name, before in LONG),
        *(Row("a", number, "FINISHED", "e:1;a:1") for number in (2, 3)),
    ]
    graph = of_studies("flow", list("abcdef"), rows)
    assert {("a", "e"), ("e", "a"), ("a", "a"), ("b", "e")} <= set(graph.edges)
    drawing = ElementTree.fromstring(svg(graph))
    boxes = [
        tuple(float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        for box in drawing.iter("{http://www.w3.org/2000/svg}rect")
    ]
    paths = [path.attrib["d"] for path in drawing.findall("{*}path")]
    assert len(paths) == len(graph.edges)
    points = [point for path in paths for point in along(path)]
    points += [
        (float(text.attrib["x"]), float(text.attrib["y"]) - 4)
        for text in drawing.findall("{*}text[@stroke]")
    ]
    hidden = [
        (x, y)
        for x, y in points
        for left, top, w, h in boxes
        if left + 1 < x < left + w - 1 and top + 1 < y < top + h - 1
    ]
    assert not hidden
    _, _, width, _ = map(float, drawing.attrib["viewBox"].split())
    assert all(0 < x < width for x, _ in points)


LONG = [("a", ""), ("b", "a:1"), ("f", "a:1"), ("c", "b:1"), ("d", "c:1"), ("e", "a:1;b:1;d:1")]


def along(path):
    """Points of a drawn line."""
    x = y = 0.0
    for command, text in re.findall(r"([MLC])([^MLC]*)", path):
        values = [float(value) for value in text.split()]
        curve = values if command == "C" else [x, y, *values, *values]
        if command != "M":
            for t in (step / 20 for step in range(21)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                xs, ys = (x, *curve[0::2]), (y, *curve[1::2])
                yield (
                    sum(w * v for w, v in zip(weights, xs, strict=True)),
                    sum(w * v for w, v in zip(weights, ys, strict=True)),
                )
        x, y = values[-2:]
