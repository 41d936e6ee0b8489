"""Several logs below each other: sections with a log's path above, as ``tail`` prints files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from motoko.host.log_reading import Event, Log, additions


def show(paths: Sequence[Path], count: int, *, follow: bool) -> None:
    """Print the last ``count`` lines of logs, one log after the other.

    With ``follow``, then print new lines for ever. A single log has no path above.
    """
    logs = {str(path): Log(str(path), path) for path in paths}
    sections = _Sections(titled=len(logs) > 1)
    for log in logs.values():
        events = log.last(count)
        if not follow:
            # The last line may not be complete yet.
            events += log.more(cut=True)
        sections.show(events, count)
    if follow:
        for events in additions(logs):
            sections.show(events)


class _Sections:
    """Prints lines, with a title where another log begins."""

    def __init__(self, *, titled: bool) -> None:
        self._titled = titled
        self._name = ""

    def show(self, events: Iterable[Event], count: int | None = None) -> None:
        lines = [(event.name, line) for event in events for line in event.lines]
        for name, line in lines if count is None else lines[-count:]:
            if self._titled and name != self._name:
                click.echo(f"{chr(10) if self._name else ''}==> {name} <==")
                self._name = name
            click.echo(line)
        sys.stdout.flush()
