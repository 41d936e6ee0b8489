"""``motoko logs``: what the daemons have logged, in the order of time."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from motoko.cli.render import log_sections
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import named_run
from motoko.cli.taken_config import load_or_taken
from motoko.config import WorkflowConfig, load
from motoko.config.daemon_kinds import ORCHESTRATOR, kinds
from motoko.control import daemon_records
from motoko.control.daemon_records import living_orchestrators
from motoko.errors import ConfigError, MotokoError
from motoko.host.log_reading import LAST, Log, additions, in_order, names_itself
from motoko.operations.daemon_switches import daemon_names
from motoko.runs.references import reference


def _completed(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str | CompletionItem]:
    try:
        names = known(load())
    except MotokoError:
        return []
    return [name for name in names if name.startswith(incomplete)]


@click.command(short_help="Show what the daemons have logged, or a run's output.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_completed)
@click.option("--follow", "-f", is_flag=True, help="Follow the logs, until Ctrl-C.")
@click.option(
    *("--lines", "-n", "count"),
    default=LAST,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many lines, of all logs together.",
)
def command(names: tuple[str, ...], follow: bool, count: int) -> None:
    """Show the last lines of the daemons' logs, in the order of time. Times are in UTC.

    NAME is as in `motoko ps`: supervisor, bus, watcher, zeo:<study>, launcher:<study>; or
    orchestrator:<run_name> for an orchestrator that was started with --detach. Without a name all
    logs are shown.

    With STUDY.ID the command shows the end of what a run has printed: the standard output and the
    standard error of each attempt.

    \b
    Examples:
      motoko logs
      motoko logs launcher:mult -n 100
      motoko logs -f
      motoko logs mult.3 -f
    """
    config = load_or_taken()
    tell_standing(config)
    if any(reference(name) for name in names if ":" not in name):
        log_sections.show(_outputs(config, names), count, follow=follow)
        return
    chosen = _chosen(config, names)
    logs = {name: Log(name, path) for name, path in chosen.items()}
    several = len(names) != 1
    events = [event for log in logs.values() for event in log.last(count)]
    if not follow:
        # The last line may not be complete yet.
        events += [event for log in logs.values() for event in log.more(cut=True)]
    _show(in_order(events)[-count:] if count else [], several)
    if follow:
        for events in additions(logs, (lambda: known(config)) if not names else dict):
            _show(in_order(events), several)


def known(config: WorkflowConfig) -> dict[str, Path]:
    """The workflow's log files by the name of the process that writes them, existing or not."""
    runtime = daemon_records.records(config)
    orchestrators = [run_name for run_name, _ in living_orchestrators(runtime)]
    names = [daemon_records.SUPERVISOR, *daemon_names(config)]
    names += [f"{ORCHESTRATOR}:{run_name}" for run_name in orchestrators]
    files = {name: runtime.log(name) for name in names}
    # Logs of studies that are no longer in motoko.yaml, and of orchestrators that have ended.
    for path in sorted((runtime.wf / "log").glob("*.log")):
        if path not in files.values():
            kind, dash, rest = path.stem.partition("-")
            name = f"{kind}:{rest}" if dash and kind in kinds() else path.stem
            files[name] = path
    return files


def _chosen(config: WorkflowConfig, names: tuple[str, ...]) -> dict[str, Path]:
    there = known(config)
    chosen = {}
    for name in names:
        path = daemon_records.records(config).log(name)
        if name in there:
            chosen[name] = there[name]
        elif name.startswith(f"{ORCHESTRATOR}:") and path.exists():
            chosen[name] = path  # the file's name does not tell the whole name
        else:
            raise ConfigError(
                f"there is no log of {name!r} in {config.path}",
                hint=f"the logs are: {', '.join(there)}",
            )
    return chosen or there


def _outputs(config: WorkflowConfig, names: tuple[str, ...]) -> list[Path]:
    """The files that runs have printed into."""
    from motoko.reports.base_reading import outputs_in

    outputs = []
    for name in names:
        study, number = named_run(config, name)
        if not (printed := outputs_in(config, study, number)):
            click.echo(f"{name} has printed nothing: it was not started yet", err=True)
        outputs += printed
    return outputs


def _show(lines: list[tuple[str, str]], several: bool) -> None:
    for name, line in lines:
        named = not several or names_itself(line, name)
        click.echo(line if named else f"{name} | {line}")
    sys.stdout.flush()
