"""docs/troubleshooting.md: a section for each error that Motoko raises, and none besides."""

import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest

import motoko.supervisor
import motoko.workers
from motoko.cli.render.errors_shown import tell
from motoko.errors import MotokoError, NotCreated, RunFailed

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
SECTIONS = re.split(r"^###? ", PAGE, flags=re.MULTILINE)[1:]
PARTS = ("**Symptom:** ", "**Cause:** ", "**Cure:** ")


def classes():
    """All of Motoko's error classes, wherever they are defined."""
    for package in (motoko, motoko.supervisor, motoko.workers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = set(), [MotokoError]
    while waiting:
        found.add(cls := waiting.pop())
        waiting += cls.__subclasses__()
    return {cls for cls in found if cls.__module__.partition(".")[0] == "motoko"}


def sections():
    """Texts by their headings, of those that are about an error."""
    parts = [section.partition("\n") for section in SECTIONS]
    return [(name, text) for name, _, text in parts if PARTS[0] in text]


def test_each_error_has_a_section_and_each_section_an_error():
    names = Counter(cls.short_name for cls in classes())
    assert len(names) > 40
    assert names == Counter(name for name, _ in sections())


@pytest.mark.parametrize(("name", "text"), sections())
def test_sections_are_whole(name, text):
    paragraphs = text.strip().split("\n\n")
    assert len(paragraphs) == 3, name
    for paragraph, part in zip(paragraphs, PARTS, strict=True):
        assert paragraph.startswith(part) and len(paragraph) > len(part) + 8, name


def test_links_lead_to_sections():
    headings = {section.partition("\n")[0] for section in SECTIONS}
    anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors


def test_names_are_those_of_the_classes():
    assert (NotCreated.short_name, RunFailed.short_name) == ("not-created", "run-failed")
    assert NotCreated("x").short_name == "not-created"
    assert MotokoError("x").short_name == "motoko-error"


def test_the_first_line_has_the_name(capsys):
    error = RunFailed("mult", 1, "FAILED", "why", run_path="/runs/1", hint="do this")
    assert tell([error], error, verbose=False) == 1
    assert capsys.readouterr().err.splitlines() == [
        "motoko: error: run mult.1 is FAILED: why [run-failed]",
        "  run directory: /runs/1",
        "hint: do this",
    ]
