"""Links between documents lead somewhere. Sphinx checks those of docs/, `make docs`."""

import importlib.util
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


def test_links_to_other_sites():
    """Only a site itself can say that a page of it is gone."""
    spec = importlib.util.spec_from_file_location("external", ROOT / "docs" / "external_links.py")
    external = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(external)
    assert external.links(["[a](https://a.org/b), <https://c.org>."]) == [
        *("https://a.org/b", "https://c.org"),
    ]

    def judged(*statuses):
        answers = iter(statuses)

        def ask(link):
            status = next(answers)
            if status is None:
                raise OSError("no route")
            return (status, "text/html") if status > 0 else (-status, "text/plain")

        return external.judged("https://a.org/b", ask)

    assert judged(200) == (True, "alive")
    assert judged(404, 200) == (False, "dead: the site answers 404")
    for statuses in ((404, 404), (404, -200), (404, None), (403,), (None,)):
        is_alive, why = judged(*statuses)
        assert is_alive and why.startswith("not known: ")
