"""How a command shows the errors that end it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import click

from motoko.errors import MotokoError, expected_errors


def tell_any(error: BaseException, verbose: bool, copied: tuple[str, str] | None = None) -> int:
    """Show any exception of an orchestrator; returns the exit code.

    ``copied``: a directory in which the orchestrator was executed, and the user's, of which that is
    a copy.
    """
    from motoko.api.users_traceback import hint_at, users_line, users_traceback

    if expected := expected_errors(error):
        return tell(expected, error, verbose, users_line)
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            return error.code
        click.echo(str(error.code), err=True)
        return 1
    if verbose:
        traceback.print_exception(error)
    else:
        text = users_traceback(error)
        click.echo(text.replace(*copied) if copied else text, err=True, nl=False)
        if slip := hint_at(error):
            click.echo(f"hint: {slip}", err=True)
    return 1


def _no_line(error: BaseException) -> str:
    return ""


def tell(
    errors: list[MotokoError],
    error: BaseException,
    verbose: bool,
    line_of: Callable[[BaseException], str] = _no_line,
) -> int:
    """Show errors, and with ``verbose`` the traceback of ``error``; returns the exit code.

    ``line_of`` gives the line of the user's code that has raised an error, if there is one.
    """
    if verbose:
        traceback.print_exception(error)
    shown = set()
    for reported in errors:
        if (str(reported), reported.hint) in shown:
            continue  # several tasks have waited for the same run
        shown.add((str(reported), reported.hint))
        first, *more = str(reported).split("\n")
        lines = [f"motoko: error: {first} [{reported.short_name}]", *more]
        if line := line_of(reported):
            lines.append(f"  raised by {line}")
        click.echo("\n".join(lines), err=True)
        if reported.hint:
            click.echo(f"hint: {reported.hint}", err=True)
    return errors[0].exit_code
