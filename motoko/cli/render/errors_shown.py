"""What a command says of the errors that end it."""

from __future__ import annotations

import traceback

import click

from motoko.errors import MotokoError, expected_errors


def tell_any(error: BaseException, verbose: bool) -> int:
    """Show whatever an orchestrator has raised; returns the exit code."""
    if expected := expected_errors(error):
        return tell(expected, error, verbose)
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            return error.code
        click.echo(str(error.code), err=True)
        return 1
    traceback.print_exception(error)
    return 1


def tell(errors: list[MotokoError], error: BaseException, verbose: bool) -> int:
    """Show errors, with ``verbose`` the traceback of what was raised too; returns the exit code."""
    if verbose:
        traceback.print_exception(error)
    shown = set()
    for reported in errors:
        if (str(reported), reported.hint) in shown:
            continue  # several tasks have waited for the same
        shown.add((str(reported), reported.hint))
        first, *more = str(reported).split("\n")
        lines = [f"motoko: error: {first} [{reported.short_name}]", *more]
        click.echo("\n".join(lines), err=True)
        if reported.hint:
            click.echo(f"hint: {reported.hint}", err=True)
    return errors[0].exit_code
