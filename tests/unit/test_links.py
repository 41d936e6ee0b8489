"""Links between documents lead somewhere. Sphinx checks those of docs/, `make docs`."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:)(?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
OUTSIDE = [*ROOT.glob("*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob("tests/*/*.md")]


def anchors(path):
    """The anchors that GitHub gives to a document's headings."""
    headings = (match["text"].lower() for match in HEADING.finditer(path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in LINK.finditer(path.read_text()):
        target = (path.parent / link["file"]).resolve() if link["file"] else path
        assert target.exists(), link[0]
        assert not link["anchor"] or link["anchor"] in anchors(target), link[0]
