"""The pages of the documentation do what they say: each is a session, whose output is compared."""

import pytest
from page_blocks import PAGES, ROOT, Kind, blocks_of, commands_of
from page_session import FAILURE, Session
from shown_output import differs

# Executed as a notebook, by test_notebooks.py.
NOTEBOOK = ROOT / "docs" / "tutorial.md"
RUN = [
    page
    for page in PAGES
    if page != NOTEBOOK
    and any(
        block.kind in (Kind.FILE, Kind.COMMANDS, Kind.PYTHON)
        for block in blocks_of(page.read_text())
    )
]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page, tmp_path):
    session = Session(tmp_path / "home" / "me", ROOT / "examples")
    try:
        play(page, session)
    finally:
        session.close()


def play(page, session):
    """Do what a page says, block by block."""
    home, printed = str(session.home), ""
    for block in blocks_of(page.read_text()):
        where = f"{page.name}:{block.line}"
        if block.kind is Kind.FILE:
            session.write(block.argument, block.text)
        elif block.kind is Kind.PYTHON:
            printed = session.python(block.text)
        elif block.kind is Kind.OUTPUT:
            difference = differs(block.text.splitlines(), printed, home)
            assert not difference, f"{where}\n{difference}"
        elif block.kind is Kind.COMMANDS:
            for command in commands_of(block.text):
                code, printed = session.command(command.text)
                fails = any(FAILURE in line for line in command.shown)
                assert (code != 0) is fails, f"{where}: {command.text}: {code}\n{printed}"
                difference = command.shown and differs(command.shown, printed, home)
                assert not difference, f"{where}: {command.text}\n{difference}"
