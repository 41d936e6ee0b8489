"""``motoko upgrade-study``: adapt jobs and runs to a changed bd.yaml."""

from __future__ import annotations

import click

from motoko.cli.selecting import study_named
from motoko.cli.texts import TEXT
from motoko.config import load


@click.command(short_help="Have jobs and runs follow a changed bd.yaml.")
@click.argument("study", type=TEXT, metavar="STUDY")
@click.option(
    "--rename",
    "renames",
    multiple=True,
    type=TEXT,
    metavar="OLD=NEW",
    help="A parameter that was renamed; may be given several times.",
)
@click.option(
    "--drop",
    "dropped",
    multiple=True,
    type=TEXT,
    metavar="NAME",
    help="Remove a parameter that is no longer declared; may be given several times.",
)
@click.option("--apply", is_flag=True, help="Make the changes; without it they are only shown.")
def command(study: str, renames: tuple[str, ...], dropped: tuple[str, ...], apply: bool) -> None:
    """Adapt the jobs and runs of a study to its bd.yaml, after that file was changed.

    New parameters get their default (`job_space:`, `run_params:`) in the existing jobs and runs,
    values of another type are converted, and renamed parameters get their new name: so createTask
    finds these jobs again. Without --apply the command only says what would be done. If a value
    cannot be converted without loss, or a parameter has no default, that is an error, and nothing
    is changed.

    \b
    Examples:
      motoko upgrade-study mult
      motoko upgrade-study mult --rename x=temperature --apply
    """
    from motoko.operations.upgrading import upgrade

    config = load()
    made = upgrade(
        config,
        study_named(config, study),
        renames=dict(map(_rename, renames)),
        dropped=[name.lower() for name in dropped],
        apply=apply,
    )
    for line in made.lines:
        click.echo(line)
    for line in made.left:
        click.echo(line)
    if not made.lines:
        click.echo("nothing to change")
    elif not apply:
        click.echo("nothing was changed: --apply does it")


def _rename(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals or not old or not new:
        raise click.UsageError(f"--rename: {text!r} is not OLD=NEW")
    return old.lower(), new.lower()
