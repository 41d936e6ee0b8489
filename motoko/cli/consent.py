"""The one rule of commands that destroy: what is chosen is done, all of it only if that is wanted.

On a terminal they ask, and no is the default; without one they refuse, and name what to say.
"""

from __future__ import annotations

import click

from motoko.host import terminal


def ask(question: str) -> None:
    """Ask on the terminal; ``click.Abort`` unless the answer is yes."""
    if not terminal.answered_yes(question):
        raise click.Abort


def all_are_meant(what: str, held: str, hint: str) -> None:
    """Ask before all runs are concerned, none of which was chosen.

    Args:
        what: what becomes of them: ``"reset"``.
        held: what there is, in lines.
        hint: how to choose.

    Raises ``NotConfirmed`` without a terminal, ``click.Abort`` if the answer is not yes.
    """
    text = f"no runs are chosen, and all of these would be {what}:\n{held}"
    if not terminal.confirmed(text, f"Are all of them to be {what}?", hint):
        raise click.Abort
