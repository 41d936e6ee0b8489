"""``motoko init``: write a small workflow that runs as it is."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.operations.new_files import write_new
from motoko.operations.starter_files import TEMPLATES


@click.command()
@click.argument("directory", metavar="[DIR]", default=".", type=WORKFLOW_PATH)
@click.option(
    "--template",
    type=click.Choice([*TEMPLATES]),
    default="minimal",
    show_default=True,
    help="The workflow to write.",
)
def command(directory: Path, template: str) -> None:
    """Write a small workflow into DIR, or the current directory: `motoko run` runs it as it is.

    Comments in the files explain them. Nothing is asked, and nothing is overwritten: if one of the
    files exists already, none is written.

    \b
    minimal   one study of one line of Python
    python    a calculation in Python; what is computed next depends on its results
    program   a program that knows nothing of Motoko, and its results
    slurm     as minimal, with each run a job of Slurm
    """
    for name in write_new(directory, TEMPLATES[template]):
        click.echo(f"wrote {directory / name}")
    cd = "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "
    click.echo(f"run it: {cd}motoko run")
