"""``motoko launcher``: start the launchers."""

from __future__ import annotations

import subprocess

import click

from motoko import control
from motoko.batch_check import check_generators
from motoko.cli.selecting import ALL, chosen, study_option
from motoko.config import StudyConfig, load
from motoko.launchers import add_launchers
from motoko.runtime import Runtime


@click.command(short_help="Start the launchers, which start created runs.")
@click.option("--generator", help="bash or slurm, in place of motoko.yaml's.")
@click.option("--log", "-l", "log", is_flag=True, help="Show the launchers' logs, and follow them.")
@click.option("--do_not_detach", is_flag=True, help="Stay in the foreground; Ctrl-C stops them.")
@study_option("Only this study's launcher.")
@click.pass_context
def command(
    context: click.Context, generator: str | None, log: bool, do_not_detach: bool, bd_study: str
) -> None:
    """Start the launchers, which start the runs that are CREATED.

    They are added to the workflow's supervisor; if there is none, one is started, in the
    background. `motoko supervise --detach` does the same, and more; this command is for those who
    know it from motoko 0.1.4, or who want only one study's runs to be started.

    \b
    Examples:
      motoko launcher
      motoko launcher --bd_study mult
      motoko launcher --log
    """
    config = load()
    check_generators(config, generator)
    studies = chosen(config, bd_study)
    if log:
        _follow(control.records(config), studies)
    elif do_not_detach and bd_study == ALL:
        from motoko.cli.supervise import command as supervise

        context.invoke(supervise, generator=generator)
    elif bd_study == ALL:
        add_launchers(config, generator=generator, announce=click.echo)
    else:
        add_launchers(config, studies[0], generator=generator, announce=click.echo)
        if do_not_detach:
            try:
                _follow(control.records(config), studies)
            finally:
                name = f"launcher:{studies[0].name}"
                control.ask(control.records(config), "stop_daemons", names=[name])


def _follow(runtime: Runtime, studies: list[StudyConfig]) -> None:
    files = [str(runtime.log(f"launcher:{study.name}")) for study in studies]
    subprocess.run(["tail", "-n", "20", "-F", "--", *files], check=False)
