"""``motoko events``: what happens to the runs, as it happens."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import click

from motoko.bus.messages import Transition
from motoko.cli.render import event_lines
from motoko.cli.selecting import chosen, study_option
from motoko.cli.texts import TEXT, WORKFLOW_PATH
from motoko.config import WorkflowConfig, load
from motoko.config.daemon_kinds import BUS
from motoko.control import client, daemon_records
from motoko.control.bridging import reached
from motoko.errors import ConfigError, NoSupervisor

AT_ONCE = 500  # events that are shown together
_TID = re.compile("[0-9a-fA-F]{16}")


@click.command(short_help="Follow what happens to the runs.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@study_option("Only events of this study.", "--study")
@click.option("--run_name", type=TEXT, help="Only runs of this run_name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option(
    "--since",
    type=TEXT,
    metavar="TID",
    help="Begin with what has happened after this: a transaction id as --json prints it, 0 for "
    "everything, or a local time such as '2030-01-31 12:00'.",
)
def command(
    directory: Path | None,
    bd_study: str,
    run_name: str | None,
    as_json: bool,
    since: str | None,
) -> None:
    """Follow what happens to the runs, until Ctrl-C or until the workflow is stopped.

    Each change of a run's state is shown once, in the order of its study's commits, however short
    the state lasted. With --since, past changes come first, from the database's own log, and new
    ones follow without a gap.

    \b
    Examples:
      motoko events --run_name first
      motoko events --since 0 --json > history.jsonl
    """
    config = load(directory)
    studies = [study.name for study in chosen(config, bd_study)]
    after = None if since is None else tid(since)
    parameters = None
    if not as_json:
        from motoko.reports.event_parameters import EventParameters

        parameters = EventParameters(config)

    def show(events: Sequence[Transition]) -> None:
        events = [event for event in events if run_name in (None, event.run_name)]
        if parameters is None:
            lines = map(event_lines.as_json, events)
        else:
            lines = map(event_lines.as_text, events, parameters.of_all(events))
        for line in lines:
            click.echo(line)

    try:
        asyncio.run(_follow(config, studies, after, show))
    finally:
        if parameters is not None:
            parameters.close()


async def _follow(
    config: WorkflowConfig,
    studies: list[str],
    after: str | None,
    show: Callable[[Sequence[Transition]], None],
) -> None:
    from motoko.bus.dispatcher import Dispatcher
    from motoko.bus.waiters import Interest

    daemon_records.refuse_guests(config)
    runtime = reached(config)
    if runtime is None or BUS not in client.daemons_at_work(config):
        raise NoSupervisor(f"no bus runs for {config.path}", hint="run `motoko supervise`")
    past = {} if after is None else dict.fromkeys(studies, after)
    dispatcher = Dispatcher(runtime, studies, lambda study: None, after=past)
    waiting: list[Transition] = []
    dispatcher.listeners.append(waiting.append)
    try:
        with dispatcher.waiting(Interest(studies=studies)) as waiter:
            await dispatcher.live()
            while not waiter.stopped:
                await waiter.wait()
                # Here, and not in the dispatcher's listener: a closed pipe must end the command.
                for first in range(0, len(waiting), AT_ONCE):
                    show(waiting[first : first + AT_ONCE])
                waiting.clear()
                sys.stdout.flush()
        click.echo("motoko: the workflow was stopped", err=True)
    finally:
        dispatcher.close()


def tid(text: str) -> str:
    """The transaction id that a user's text means; ``ConfigError`` if it means none."""
    from motoko.store import tids

    if text == "0":
        return "0" * 16
    if _TID.fullmatch(text):
        return text.lower()
    try:
        return tids.at(datetime.fromisoformat(text))
    except ValueError as error:
        raise ConfigError(
            f"--since {text}: neither a transaction id nor a time",
            hint="16 hexadecimal digits, 0, or a local time such as '2030-01-31 12:00'",
        ) from error
