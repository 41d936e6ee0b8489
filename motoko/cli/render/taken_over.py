"""The effects of a changed motoko.yaml, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from motoko.operations.reconfiguring import TakenOver

STARTED_LATER = "counts for daemons that are started from now on"


def lines(taken: TakenOver) -> Iterator[str]:
    """A line for each changed key that takes effect only later; none if all are in effect."""
    if taken.refusal:
        yield taken.refusal
        return
    waiting = {change.key for change in taken.pending}
    others = [change for change in taken.new if change.key not in waiting]
    if not waiting and not others:
        return
    yield "the files have changed since the daemons were started:"
    for change in taken.pending:
        yield f"  {change.key}: {change.to_do}"
    for change in others:
        yield f"  {change.key}: {STARTED_LATER if change.daemons else change.to_do}"
