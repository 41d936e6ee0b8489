"""The version of what Motoko writes into a workflow and its studies.

It is in ``.wf/format``, and for a study in ``.bd/format``. A version of Motoko that finds a larger
number than its own cannot know what the files mean: it refuses to work there. Earlier versions
wrote no such file, which counts as format 1.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from motoko.errors import MotokoError
from motoko.host.files import contents, write_atomically

# Another layout of .wf, .bd or run directories, which this version's readers would get wrong, gets
# another number.
FORMAT = 1
FIRST = 1
FILE = "format"


class NewerWorkflow(MotokoError):
    """A later version of Motoko has worked in the workflow, and has changed its files."""

    exit_code = 2


def check_format(place: Path) -> None:
    """Raise ``NewerWorkflow`` if a later version has written into a directory."""
    number = format_of(place)
    if number > FORMAT:
        raise NewerWorkflow(
            f"{place} was written by a later version of Motoko (format {number}; this version "
            f"knows {FORMAT})",
            hint="install that version again: `pip install -U motoko`",
        )


def format_of(place: Path) -> int:
    """The format in a directory; 1 if it does not say."""
    with contextlib.suppress(OSError, ValueError):
        return int(contents(place / FILE) or FIRST)
    return FIRST


def note_format(place: Path) -> None:
    """Note that this version has written into a directory. Raises ``OSError``."""
    if contents(place / FILE) is None or format_of(place) < FORMAT:
        write_atomically(place / FILE, f"{FORMAT}\n")
