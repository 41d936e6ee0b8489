"""Elements of an HTML page, as a tree: a text in it can never become markup."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

from motoko.host.printable import printable

Content = Element | str | None

# Readable on paper and on a phone: one column, wide things scroll inside of their own frame.
STYLE = """
:root { --ink: #1f2328; --soft: #57606a; --line: #d0d7de; --paper: #fff; --tint: #f6f8fa; }
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 72rem;
  padding: 1.25rem; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; overflow-wrap: anywhere; } .soft { color: var(--soft); }
a { color: #0550ae; }
.wide { overflow-x: auto; max-width: 100%;
  /* A shadow where it goes on: what is cut off by the frame is not taken for all. */
  background: linear-gradient(to right, var(--paper) 30%, transparent) left / 2rem 100% local,
    linear-gradient(to left, var(--paper) 30%, transparent) right / 2rem 100% local,
    linear-gradient(to right, #0004, transparent) left / .7rem 100% scroll,
    linear-gradient(to left, #0004, transparent) right / .7rem 100% scroll;
  background-repeat: no-repeat; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; } td.number, th.number { text-align: right; }
pre { background: var(--tint); padding: .6rem .8rem; margin: .4rem 0; font-size: .8rem;
  white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; }
figure { margin: .8rem 0; } figcaption { color: var(--soft); font-size: .9rem; }
svg, img { height: auto; display: block; } img, .small svg { max-width: 100%; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
.states { display: flex; height: .9rem; min-width: 8rem; background: var(--tint); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; }
.legend span { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; }
.note { border-left: 4px solid #9a6700; padding: .2rem .8rem; background: #fff8c5; }
@media (max-width: 40rem) { body { padding: .8rem; } table { font-size: .85rem; }
  th, td { padding-right: .5rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  figure, tr, .group { break-inside: avoid; } a { color: inherit; } }
"""


def element(tag: str, *content: Content, **attributes: str) -> Element:
    """An element with texts and elements; ``None`` is left out.

    ``class_`` stands for the attribute ``class``, and ``_`` within a name for a hyphen.
    """
    made = Element(tag, {name.rstrip("_").replace("_", "-"): v for name, v in attributes.items()})
    return extend(made, content)


def extend(parent: Element, content: Iterable[Content]) -> Element:
    """Add texts and elements to an element, and return it."""
    for part in content:
        if part is None:
            continue
        if isinstance(part, Element):
            parent.append(part)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + printable(part, "\n\t")
        else:
            parent.text = (parent.text or "") + printable(part, "\n\t")
    return parent


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Content]], numbers: Iterable[int] = ()
) -> Element:
    """A table, which scrolls by itself where it is too wide; ``numbers`` are right-aligned."""
    right = set(numbers)
    kinds = [{"class_": "number"} if place in right else {} for place in range(len(heads))]
    head = element(
        "tr", *(element("th", text, scope="col", **k) for text, k in zip(heads, kinds, strict=True))
    )
    body = [
        element("tr", *(element("td", cell, **k) for cell, k in zip(row, kinds, strict=True)))
        for row in rows
    ]
    made = element("table", element("thead", head), element("tbody", *body))
    return element("div", made, class_="wide")


def picture(svg: bytes, alternative: str) -> Element:
    """A picture that is part of the page."""
    data = base64.b64encode(svg).decode()
    return element("img", src=f"data:image/svg+xml;base64,{data}", alt=alternative)


def page(title: str, content: Iterable[Content]) -> str:
    """A whole page, which needs nothing from anywhere else."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # A page that loads and runs nothing: not even markup that got in could.
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        ),
        element("title", title),
    )
    style = element("style")
    style.text = STYLE
    head.append(style)
    tree = element("html", head, element("body", element("main", *content)), lang="en")
    return f"<!DOCTYPE html>\n{tostring(tree, encoding='unicode', method='html')}\n"
