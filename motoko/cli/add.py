"""``motoko add``: add a study for a program that knows nothing of BlackDynamite."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from motoko.cli.texts import TEXT, WORKFLOW_PATH


@click.command()
@click.argument("study", type=TEXT)
@click.argument("directory", metavar="[DIR]", default=".", type=WORKFLOW_PATH)
@click.option(
    "--command",
    "line",
    required=True,
    type=TEXT,
    metavar="COMMAND",
    help="What a run executes, with {name} for the value of a parameter.",
)
@click.option(
    "--param",
    "parameters",
    multiple=True,
    type=TEXT,
    metavar="NAME:TYPE",
    help="The type of a parameter: float (the default), int, str or bool.",
)
@click.option(
    "--result",
    "results",
    multiple=True,
    type=TEXT,
    metavar="NAME[:TYPE]=REGEX",
    help="A result: a regular expression with one group, for the program's output.",
)
def command(
    study: str,
    directory: Path,
    line: str,
    parameters: tuple[str, ...],
    results: tuple[str, ...],
) -> None:
    """Add a study for a program that knows nothing of Motoko, to the workflow in DIR.

    Writes STUDY/bd.yaml and STUDY/launch.sh, and adds the study to motoko.yaml, whose comments are
    kept. If there is no motoko.yaml, it is written as well, with an orchestrator.py to begin
    with. Nothing is overwritten.

    The words of COMMAND are used as they are: shell syntax, such as a pipe, is refused, and can be
    written into launch.sh. Files of DIR that COMMAND names, such as ./sim, are copied into each
    run's directory.

    \b
    Example:
      motoko add sim --command './sim -x {x} --mesh {mesh}' --param mesh:int \\
          --result 'energy=energy = (\\S+)'
    """
    from motoko.operations.study_adding import add_study

    types = dict(_typed(text, "--param") for text in parameters)
    if len(types) < len(parameters):
        raise click.UsageError("--param: a name is given twice")
    rules = dict(_rule(text) for text in results)
    if len(rules) < len(results):
        raise click.UsageError("--result: a name is given twice")
    added = add_study(directory, study, line, types, rules)
    for warning in added.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    for name in added.files:
        click.echo(f"wrote {directory / name}")
    if added.is_new:
        at = "" if directory == Path() else f" {shlex.quote(str(directory))}"
        click.echo(f"write your values into orchestrator.py, and run it: motoko run{at}")
    else:
        click.echo(f"added {study} to {directory / 'motoko.yaml'}")
        click.echo(f"in the orchestrator: runs = await {added.create}")


def _typed(text: str, option: str) -> tuple[str, str]:
    name, colon, kind = text.partition(":")
    if not name.strip() or (colon and not kind.strip()):
        raise click.UsageError(f"{option} {text}: write NAME:TYPE, such as mesh:int")
    return name.strip(), kind.strip() or "float"


def _rule(text: str) -> tuple[str, tuple[str, str]]:
    before, equals, regex = text.partition("=")
    if not equals or not regex:
        raise click.UsageError(rf"--result {text}: write NAME=REGEX, such as 'y=y = (\S+)'")
    name, kind = _typed(before, "--result")
    return name, (kind, regex)
