"""The rule for commands that destroy: chosen runs need no consent, all runs need it.

On a terminal such a command asks, and no is the default. Without a terminal it refuses, and its
hint says what to add.
"""

from __future__ import annotations

import click

from motoko.host import terminal


def ask(question: str) -> None:
    """Ask on the terminal; ``click.Abort`` unless the answer is yes."""
    if not terminal.answered_yes(question):
        raise click.Abort


def all_are_meant(what: str, held: str, hint: str) -> None:
    """Ask before a command changes all runs because the user has chosen none.

    Args:
        what: what will be done to the runs: ``"reset"``.
        held: the studies' contents, in lines.
        hint: how to choose runs.

    Raises ``NotConfirmed`` without a terminal, ``click.Abort`` if the answer is not yes.
    """
    text = f"no runs are chosen, and all of these would be {what}:\n{held}"
    if not terminal.confirmed(text, f"Are all of them to be {what}?", hint):
        raise click.Abort
