"""What a command says of the errors that end it."""

from __future__ import annotations

import traceback

import click

from motoko.errors import MotokoError


def expected_errors(error: BaseException) -> list[MotokoError]:
    """The errors that Motoko has raised on purpose: one, or all those of a group.

    Tasks of an ``asyncio.TaskGroup`` raise them in groups. Empty if anything else is among them.
    """
    if isinstance(error, MotokoError):
        return [error]
    if not isinstance(error, BaseExceptionGroup):
        return []
    parts = [expected_errors(each) for each in error.exceptions]
    return [each for part in parts for each in part] if all(parts) else []


def tell(errors: list[MotokoError], error: BaseException, verbose: bool) -> int:
    """Show errors, with ``verbose`` the traceback of what was raised too; returns the exit code."""
    if verbose:
        traceback.print_exception(error)
    said = set()
    for each in errors:
        if (str(each), each.hint) in said:
            continue  # several tasks have waited for the same
        said.add((str(each), each.hint))
        click.echo(f"motoko: error: {each}", err=True)
        if each.hint:
            click.echo(f"hint: {each.hint}", err=True)
    return errors[0].exit_code
