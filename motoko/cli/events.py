"""``motoko events``: what happens to the runs, as it happens."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from motoko import control
from motoko.bus.messages import Transition
from motoko.cli.selecting import chosen, study_option
from motoko.config import WorkflowConfig, load
from motoko.errors import ConfigError, NoSupervisor
from motoko.runtime import locate

_TID = re.compile("[0-9a-fA-F]{16}")


@click.command(short_help="Follow what happens to the runs.")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@study_option("Only this study's.", "--study")
@click.option("--run_name", help="Only runs of this run_name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option(
    "--since",
    metavar="TID",
    help="Begin with what has happened since: a transaction id as --json prints it, 0 for "
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

    Each change of a run's state is told once, in the order of its study's commits, however short
    the state lasted. With --since the past comes first, from the database's own log, and the
    present follows without a gap.

    \b
    Examples:
      motoko events --run_name first
      motoko events --since 0 --json > history.jsonl
    """
    config = load(directory)
    studies = [study.name for study in chosen(config, bd_study)]
    after = None if since is None else tid(since)
    show = _print_json if as_json else _print_line

    def told(event: Transition) -> None:
        if run_name is None or event.run_name == run_name:
            show(event)

    asyncio.run(_follow(config, studies, after, told))


async def _follow(
    config: WorkflowConfig,
    studies: list[str],
    after: str | None,
    told: Callable[[Transition], None],
) -> None:
    from motoko.dispatch import Dispatcher, Interest

    runtime = locate(config)
    if runtime is None or not any(d.kind == "bus" for d in control.living_daemons(runtime)):
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
                # Here, and not in the listener: a closed pipe is to end the command.
                for event in waiting:
                    told(event)
                waiting.clear()
                sys.stdout.flush()
        click.echo("motoko: the workflow was stopped", err=True)
    finally:
        dispatcher.close()


def tid(text: str) -> str:
    """The transaction id that a user means; ``ConfigError`` if it is none."""
    from persistent.TimeStamp import TimeStamp

    if text == "0":
        return "0" * 16
    if _TID.fullmatch(text):
        return text.lower()
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
        seconds = moment.second + moment.microsecond / 1e6
        stamp = TimeStamp(
            moment.year, moment.month, moment.day, moment.hour, moment.minute, seconds
        )
    except ValueError as error:
        raise ConfigError(
            f"--since {text}: neither a transaction id nor a time",
            hint="16 hexadecimal digits, 0, or a local time such as '2030-01-31 12:00'",
        ) from error
    return str(stamp.raw().hex())


def committed_at(tid: str) -> datetime:
    """When a transaction was committed, in local time."""
    from persistent.TimeStamp import TimeStamp

    return datetime.fromtimestamp(TimeStamp(bytes.fromhex(tid)).timeTime()).astimezone()


def _print_line(event: Transition) -> None:
    when = committed_at(event.tid).isoformat(" ", "milliseconds").partition("+")[0]
    change = f"{event.old or '(new)'} -> {event.new or '(deleted)'}"
    run_name = f"  ({event.run_name})" if event.run_name else ""
    click.echo(f"{when}  {event.study}.{event.run_id}  {change}{run_name}")


def _print_json(event: Transition) -> None:
    import json

    click.echo(
        json.dumps(
            {
                "study": event.study,
                "run_id": event.run_id,
                "old": event.old,
                "new": event.new,
                "tid": event.tid,
                "time": committed_at(event.tid).isoformat(),
                "run_name": event.run_name,
                "job_id": event.job_id,
                "event_name": event.event_name,
            }
        )
    )
