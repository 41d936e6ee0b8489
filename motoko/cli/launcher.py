"""``motoko launcher``: start the launchers."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import click

from motoko import control
from motoko.cli.selecting import ALL, chosen, study_option
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import ConfigError, MotokoError
from motoko.runtime import Runtime

READY_S = 60.0


@click.command(short_help="Start the launchers, which start created runs.")
@click.option("--generator", help="Another generator than motoko.yaml's. Only bash is there yet.")
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
    if generator not in (None, "bash", "bashCoat"):
        raise ConfigError(f"--generator {generator} is not there yet", hint="use bash")
    studies = chosen(config, bd_study)
    if log:
        _follow(control.records(config), studies)
    elif do_not_detach and bd_study == ALL:
        from motoko.cli.supervise import command as supervise

        context.invoke(supervise)
    elif bd_study == ALL:
        control.start_detached(config.path, launchers=True, announce=click.echo)
    else:
        _start_one(config, studies[0])
        if do_not_detach:
            try:
                _follow(control.records(config), studies)
            finally:
                name = f"launcher:{studies[0].name}"
                control.ask(control.records(config), "stop_daemons", names=[name])


def _start_one(config: WorkflowConfig, study: StudyConfig) -> None:
    deadline = time.monotonic() + READY_S
    if not control.is_running(config):
        control.start_detached(config.path, launchers=False, announce=click.echo)
    control.wait_for_answer(config, deadline)
    answer = control.ask(control.records(config), "add_launchers", studies=[study.name]) or {}
    if "error" in answer:
        raise MotokoError(f"the supervisor starts no launcher: {answer['error']}")
    for name in answer.get("added", []):
        click.echo(f"starting {name}")
    # The other studies' daemons may have been stopped, and are no concern of ours.
    name = f"launcher:{study.name}"
    while True:
        status = control.wait_for_answer(config, deadline)
        daemon = next(each for each in status["daemons"] if each["name"] == name)
        if daemon["state"] == "ready":
            return
        if daemon["state"] == "failed" or time.monotonic() > deadline:
            raise MotokoError(
                f"{name} is {daemon['state']}; the end of {daemon['log']}:\n"
                + control.tail(Path(daemon["log"])),
                hint="see `motoko ps`",
            )
        time.sleep(control.POLL_S)


def _follow(runtime: Runtime, studies: list[StudyConfig]) -> None:
    files = [str(runtime.log(f"launcher:{study.name}")) for study in studies]
    subprocess.run(["tail", "-n", "20", "-F", "--", *files], check=False)
