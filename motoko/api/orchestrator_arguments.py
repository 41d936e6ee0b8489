"""The workflow's own options, alongside ours, in the commands that run its orchestrator."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motoko.api.orchestrator_file import load_function, load_module
from motoko.api.passed_arguments import OF_THE_COMMAND, check_main
from motoko.api.unnoticed_failures import refuse_unnoticed
from motoko.config import WorkflowConfig, load
from motoko.config.supervision import RESTARTS
from motoko.errors import ConfigError, MotokoError

if TYPE_CHECKING:
    from motoko.api.workflow import Workflow

_START_HELP = """\
Run the workflow's orchestrator: here, or in the background with --detach.

If the workflow is not supervised, the command starts a supervisor without launchers, and says so;
`motoko supervise --detach` starts both. Started again with the same run_name, the orchestrator goes
on where it was: finished runs are found again, and not executed again. Failed runs raise at once,
unless --retry-failed executes them again.
"""
_START_EXAMPLES = """\
examples:
  motoko orchestrator start --run_name first
  motoko orchestrator start -n first --detach
  motoko orchestrator start -n first --retry-failed

The options that are not described above are the workflow's own.
"""

_OURS = "motoko_"
_FIXED = ("run_name", "detach", "retry_failed")  # ours; a workflow cannot redefine these


def parse(
    config: WorkflowConfig, arguments: list[str], parser: Parser
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parse our options and the workflow's own, which its ``populate_arg_parser`` may add.

    Returns:
        All values, and the orchestrator's parameters: ``run_name`` and the workflow's own, without
        those that are ``None``; and the command's own values that motoko 0.1.4 passes.

    Raises ``ConfigError`` if the workflow redefines one of our options that does not give way.
    """
    function = load_function(config)  # fails now, before anything is started
    ours = parser.names
    _populate(config, parser)
    values = parser.parse_args(arguments)
    parameters = {
        name: value
        for name, value in vars(values).items()
        if value is not None and (name not in ours or name == "run_name")
    }
    given = vars(values)
    of_command = {
        name: given.get(name) or given.get(f"{_OURS}{name}") or value
        for name, value in OF_THE_COMMAND.items()
    }
    given_on = {**of_command, **parameters}
    check_main(".".join(config.orchestrator), function, given_on)
    return values, given_on


class Parser(argparse.ArgumentParser):
    """Our options, some of which give way to the workflow's options of the same name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._giving_way: dict[str, dict[str, Any]] = {}

    def add_giving_way(self, name: str, **options: Any) -> None:
        """Add an option that a workflow may replace. Its value is named ``motoko_<name>``."""
        dest = f"{_OURS}{name.replace('-', '_')}"
        self.set_defaults(**{dest: False if options.get("action") == "store_true" else None})
        self._giving_way[f"--{name}"] = {"dest": dest, **options}

    @property
    def names(self) -> set[str]:
        """The names of all values that the parser gives."""
        return {action.dest for action in self._actions} | set(self._defaults)

    def take(self, other: Parser) -> None:
        """Add another parser's options, except those of the workflow."""
        for action in other.own_actions():
            self._add_action(action)

    def own_actions(self) -> list[argparse.Action]:
        """The parser's options, except those of the workflow."""
        return [a for a in self._actions if a.dest in _FIXED or a.dest.startswith(_OURS)]

    def complete(self) -> None:
        """Add the options that the workflow has not replaced; called after it has added its own."""
        for name, options in self._giving_way.items():
            if name not in self._option_string_actions:
                self.add_argument(name, **options)


def workflows_own(parser: Parser, arguments: list[str]) -> list[str]:
    """The arguments that are the workflow's own.

    Args:
        parser: the parser that has parsed the arguments.
        arguments: all arguments, as they were given.
    """
    ours = Parser(add_help=False)
    ours.take(parser)
    return ours.parse_known_args(arguments)[1]


def run_name(text: str) -> str:
    """A run name from the command line; refuses an empty one (an unset shell variable)."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: is a variable of your shell not set?")
    return text


def add_earlier_runs_options(parser: Parser) -> None:
    """Add the options about runs that the run_name has already."""
    parser.add_argument(
        "--retry-failed", action="store_true", help="first, execute its failed runs again"
    )
    parser.add_giving_way(
        "fresh", action="store_true", help="refuse if the run_name has runs already"
    )


def start_parser() -> Parser:
    """The options of `motoko orchestrator start`."""
    parser = Parser(
        prog="motoko orchestrator start",
        description=_START_HELP,
        epilog=_START_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run_name", "-n", type=run_name, required=True, help="names this execution's runs"
    )
    parser.add_argument(
        "--detach", "-d", action="store_true", help="run in the background, under the supervisor"
    )
    add_earlier_runs_options(parser)
    parser.add_giving_way(
        "restart",
        choices=RESTARTS,
        help="when to restart a detached orchestrator that has died (default: motoko.yaml's, or "
        f"{RESTARTS[0]})",
    )
    parser.add_giving_way("quiet", action="store_true", help="show no progress")
    parser.add_giving_way(
        "json", action="store_true", help="print the progress as JSON objects, one per line"
    )
    parser.add_giving_way("wait", help=argparse.SUPPRESS)  # 0.1.4's poll interval: nothing polls
    return parser


def wants_help(arguments: list[str]) -> bool:
    """Whether help is asked for."""
    return "--help" in arguments or "-h" in arguments


def help_text(make_parser: Callable[[], Parser], directory: Path | None = None) -> str:
    """A command's help with the workflow's own options, or the reason why these are missing."""
    parser = make_parser()
    try:
        _populate(load(directory), parser)
        return parser.format_help()
    except MotokoError as error:
        why = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the user's module may raise anything)
        why = f"its orchestrator cannot be asked: {type(error).__name__}: {error}"
    parser = make_parser()
    parser.complete()
    return f"{parser.format_help()}\nThe workflow's own options are missing here: {why}\n"


def execute(workflow: Workflow, parameters: dict[str, Any]) -> None:
    """Execute a workflow; objects that exist before it starts are exempt from garbage collection.

    The interpreter also collects at its exit, which takes 50 ms, mostly for these objects. Objects
    that are made later are collected as usual.
    """
    import motoko.bus.dispatcher  # noqa: F401

    gc.freeze()
    workflow.execute(**parameters)


def execute_wholly(workflow: Workflow, parameters: dict[str, Any]) -> None:
    """Execute a workflow as :func:`execute` does, where the caller does not examine the runs.

    Raises ``UnnoticedFailures`` for failed runs that were not awaited, when the orchestrator has
    ended without an error of its own.
    """
    try:
        execute(workflow, parameters)
    except SystemExit as left:
        if left.code not in (0, None):
            raise
    refuse_unnoticed(workflow)


def _populate(config: WorkflowConfig, parser: Parser) -> None:
    populate = getattr(load_module(config), "populate_arg_parser", None)
    try:
        if populate is not None:
            populate(parser)
    except argparse.ArgumentError as error:
        raise ConfigError(
            f"{config.orchestrator[0]}.py: populate_arg_parser(): {error}",
            hint=f"`{parser.prog}` has that option itself, or the workflow has it twice: rename it",
        ) from error
    parser.complete()
