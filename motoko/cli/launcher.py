"""``motoko launcher``: start the launchers."""

from __future__ import annotations

import subprocess

import click

from motoko import control
from motoko.config import load
from motoko.errors import ConfigError
from motoko.runtime import Runtime


@click.command()
@click.option("--generator", help="Another generator than motoko.yaml's. Only bash is there yet.")
@click.option("--log", "-l", "log", is_flag=True, help="Show the launchers' logs, and follow them.")
@click.option("--do_not_detach", is_flag=True, help="Supervise in the foreground.")
@click.option("--bd_study", "-bd", default="all", help="Only this study's log.")
@click.pass_context
def command(
    context: click.Context, generator: str | None, log: bool, do_not_detach: bool, bd_study: str
) -> None:
    """Start the launchers, which start created runs.

    They are added to the workflow's supervisor; if there is none, one is started, detached.
    """
    config = load()
    if generator not in (None, "bash", "bashCoat"):
        raise ConfigError(f"--generator {generator} is not there yet", hint="use bash")
    if log:
        _follow(control.records(config), list(config.studies), bd_study)
        return
    if do_not_detach:
        from motoko.cli.supervise import command as supervise

        context.invoke(supervise)
        return
    control.start_detached(config.path, launchers=True, announce=click.echo)


def _follow(runtime: Runtime, studies: list[str], wanted: str) -> None:
    names = studies if wanted == "all" else [wanted]
    files = [str(runtime.log(f"launcher:{name}")) for name in names]
    subprocess.run(["tail", "-n", "20", "-F", "--", *files], check=False)
