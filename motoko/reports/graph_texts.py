"""A graph as text for other programs: Mermaid's, and Graphviz's language. Pure logic."""

from __future__ import annotations

from motoko.host.printable import printable
from motoko.reports.run_graph import DONE, FAILED_ONES, RUNNING, WAITING, Graph

# By status, the colours of the fill and of the outline. Black text is readable on all of them.
COLOURS = {
    "": ("#ffffff", "#666666"),
    WAITING: ("#e8e8e8", "#666666"),
    RUNNING: ("#cfe3ff", "#1f5fae"),
    DONE: ("#d3efd3", "#2b7a2b"),
    FAILED_ONES: ("#ffd6d0", "#b3261e"),
}
# Mermaid decodes these; a letter stands for itself.
_PLAIN = frozenset(" .,_-")
# In a title it decodes nothing.
_IN_TITLE = _PLAIN | frozenset(":;()/+")


def mermaid(graph: Graph) -> str:
    """The graph in Mermaid's language."""
    names = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    title = "; ".join([", ".join([graph.title, *graph.notes[:1]]), *graph.notes[1:]])
    plain = "".join(c if c.isalnum() or c in _IN_TITLE else " " for c in title)
    lines = ["---", f'title: "{plain}"', "---", "flowchart TD"]
    for key, node in graph.nodes.items():
        if node.is_junction:
            lines.append(f'  {names[key]}(("·"))')
        else:
            label = "<br/>".join(map(_in_mermaid, node.label))
            lines.append(f'  {names[key]}["{label}"]')
    for (before, after), text in graph.edges.items():
        label = f'|"{_in_mermaid(text)}"|' if text else ""
        lines.append(f"  {names[before]} -->{label} {names[after]}")
    for status, (fill, outline) in COLOURS.items():
        members = [names[key] for key, node in graph.nodes.items() if node.status == status]
        if members and status:
            lines.append(f"  classDef {status} fill:{fill},stroke:{outline},color:#000000")
            lines.append(f"  class {','.join(members)} {status}")
    return "\n".join(lines) + "\n"


def _in_mermaid(text: str) -> str:
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in text)


def dot(graph: Graph) -> str:
    """The graph in Graphviz's language."""
    names = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    lines = [
        "digraph motoko {",
        f"  label={_in_dot(chr(10).join([graph.title, *graph.notes]))}",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif"]',
        '  edge [fontname="sans-serif"]',
    ]
    for key, node in graph.nodes.items():
        fill, outline = COLOURS[node.status]
        if node.is_junction:
            lines.append(f"  {names[key]} [shape=point]")
        else:
            label = _in_dot("\n".join(node.label))
            lines.append(f'  {names[key]} [label={label}, fillcolor="{fill}", color="{outline}"]')
    for (before, after), text in graph.edges.items():
        label = f" [label={_in_dot(text)}]" if text else ""
        lines.append(f"  {names[before]} -> {names[after]}{label}")
    return "\n".join([*lines, "}"]) + "\n"


def _in_dot(text: str) -> str:
    escaped = printable(text, "\n").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
