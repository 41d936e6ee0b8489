"""``motoko launcher``: start the launchers."""

from __future__ import annotations

import click

from motoko.batch.registry import available
from motoko.cli.render import joined_supervisor, log_sections
from motoko.cli.selecting import ALL, chosen, study_option
from motoko.cli.texts import TEXT
from motoko.config import StudyConfig, load
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.control import client, daemon_records
from motoko.control.protocol import StopDaemonsRequest
from motoko.host.log_reading import LAST
from motoko.layout import Runtime
from motoko.operations.adding_launchers import add_launchers
from motoko.operations.generator_check import check_generators


@click.command(short_help="Start the launchers, which start created runs.")
@click.option(
    "--generator", type=TEXT, help=f"{' or '.join(available())}, in place of motoko.yaml's."
)
@click.option("--log", "-l", "log", is_flag=True, help="Show the launchers' logs, and follow them.")
@click.option("--do_not_detach", is_flag=True, help="Stay in the foreground; Ctrl-C stops them.")
@study_option("Only this study's launcher.")
def command(generator: str | None, log: bool, do_not_detach: bool, bd_study: str) -> None:
    """Start the launchers, which start the runs that are CREATED.

    The launchers are added to the workflow's supervisor; if there is none, one is started, in the
    background. `motoko supervise --detach` does the same, and more; this command is for users who
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
        _follow(daemon_records.records(config), studies)
    elif do_not_detach and bd_study == ALL:
        from motoko.supervisor.foreground import supervise_or_join

        for warning in config.warnings:
            click.echo(f"motoko: warning: {warning}", err=True)
        supervise_or_join(config, joined_supervisor.show, generator=generator)
    elif bd_study == ALL:
        add_launchers(config, generator=generator, announce=click.echo)
    else:
        add_launchers(config, studies[0], generator=generator, announce=click.echo)
        if do_not_detach:
            try:
                _follow(daemon_records.records(config), studies)
            finally:
                name = daemon_of(LAUNCHER, studies[0].name)
                client.ask(daemon_records.records(config), StopDaemonsRequest([name]))


def _follow(runtime: Runtime, studies: list[StudyConfig]) -> None:
    files = [runtime.log(daemon_of(LAUNCHER, study.name)) for study in studies]
    log_sections.show(files, LAST, follow=True)
