"""``motoko``: the group of all commands, and the handling of their errors.

A command's module is imported when that command runs, so that ``motoko --help`` and the commands
that only ask or stop start fast, and work whatever state the studies are in.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from motoko.cli.render.errors_shown import tell
from motoko.errors import CannotWrite, MotokoError, NotPermitted, expected_errors
from motoko.host.closed_places import remedy

EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_BROKEN_PIPE = 1  # the same as click's when click notices the broken pipe first
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

# By section of the help: name -> (module, one line of help)
SECTIONS = {
    "To begin": {
        "init": ("motoko.cli.init", "Write a small workflow that runs as it is."),
        "add": ("motoko.cli.add", "Add a study for a program that knows nothing of Motoko."),
        "validate": (
            "motoko.cli.validate",
            "Check the workflow's files; start and change nothing.",
        ),
        "doctor": ("motoko.cli.doctor", "Say whether this is a good place to run."),
        "create": ("motoko.cli.create", "Initialise the studies' databases."),
        "create-runs": ("motoko.cli.create_runs", "Create runs at the points of a file."),
    },
    "To run": {
        "run": ("motoko.cli.run", "Supervise and orchestrate with one command, then stop all."),
        "supervise": ("motoko.cli.supervise", "Start the workflow's daemons and look after them."),
        "launcher": ("motoko.cli.launcher", "Start the launchers, which start created runs."),
        "orchestrator": ("motoko.cli.orchestrator_commands", "Start, stop or show orchestrators."),
        "start": ("motoko.cli.daemon_commands", "Start single daemons again."),
        "stop": ("motoko.cli.daemon_commands", "Stop single daemons."),
        "restart": ("motoko.cli.daemon_commands", "Replace single daemons by new ones."),
        "kill": ("motoko.cli.kill", "Stop the workflow: daemons, launchers and local runs."),
    },
    "To look": {
        "info": ("motoko.cli.info", "Show the workflow's studies and the state of their runs."),
        "ps": ("motoko.cli.ps", "Show the workflow's processes and their health."),
        "top": ("motoko.cli.top", "Look at the workflow on a terminal, as it changes."),
        "web": ("motoko.cli.web", "Look at the workflow in a browser, as it changes."),
        "logs": ("motoko.cli.logs", "Show what the daemons have logged, or a run's output."),
        "events": ("motoko.cli.events", "Follow what happens to the runs, as it happens."),
        "explain": ("motoko.cli.explain", "Say where a run stands, and why it is not running."),
    },
    "To change runs": {
        "cancel": ("motoko.cli.cancel", "Cancel runs: those that wait, and those that run."),
        "retry": ("motoko.cli.retry", "Have failed runs executed again."),
        "clean": ("motoko.cli.clean", "Reset or delete runs, or remove their directories."),
    },
    "Results": {
        "table": ("motoko.cli.result_table", "Print parameters and results of a study's runs."),
        "sql": ("motoko.cli.sql", "Ask the results of all studies by SQL."),
        "plot": ("motoko.cli.plot", "Plot results of a study's runs."),
        "report": ("motoko.cli.report", "Write a page about the workflow and its results."),
        "usage": ("motoko.cli.usage", "Show what runs have asked for, and what they have used."),
        "graph": ("motoko.cli.graph", "Draw how runs have led to runs."),
        "lineage": ("motoko.cli.lineage", "Say what a run came from, and what came of it."),
        "diff": ("motoko.cli.diff", "Say what differs between two runs."),
        "view": ("motoko.cli.view", "Make a tree of links in which people find runs."),
    },
    "To keep": {
        "du": ("motoko.cli.du", "Show where the workflow's space on the disk is."),
        "pack": ("motoko.cli.pack", "Make databases smaller: drop old history."),
        "backup": ("motoko.cli.backup", "Back up databases, vars and files, while all goes on."),
        "restore": ("motoko.cli.restore", "Make a workflow of a backup, as of any time."),
        "archive": ("motoko.cli.archive", "Write all that was computed, and how, into one file."),
        "unarchive": ("motoko.cli.unarchive", "Make a workflow of an archive again."),
        "publish": (
            "motoko.cli.publish",
            "Write results, databases and a report for others to read.",
        ),
        "upgrade": ("motoko.cli.upgrade", "Have running daemons execute the installed version."),
        "upgrade-study": (
            "motoko.cli.upgrade_study",
            "Have jobs and runs follow a changed bd.yaml.",
        ),
    },
    "Further": {
        "notify": ("motoko.cli.notify", "Try to send a message as `notify:` says."),
        "keys": ("motoko.cli.keys_command", "Show or renew the key that other hosts come in with."),
        "bug-report": (
            "motoko.cli.bug_report",
            "Pack what somebody needs to help, without secrets.",
        ),
        "completion": (
            "motoko.cli.completion",
            "Print the script that completes commands in a shell.",
        ),
    },
}
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}


@dataclass
class Options:
    """The options of ``motoko`` itself: commands find them as ``context.obj``."""

    verbose: bool = False


class LazyGroup(click.Group):
    """A group with the commands of the table above, which imports only the command that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        # A module with several commands has them under their own names.
        command = getattr(module, "command", None) or getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        _take_directory(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from motoko.config.decoding import nearest

            near = nearest(name, COMMANDS)
            meant = f": did you mean {near!r}?" if near else "; `motoko --help` lists them"
            raise click.UsageError(f"there is no command {name!r}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # This does not import all commands for their help, as click would.
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=COMMANDS[name][1]) for name in names),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(f"{name:{width}}", text) for name, (_, text) in commands.items()]
                formatter.write_dl(rows)


def _go_to(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and not context.resilient_parsing:
        os.chdir(value)


def _directory_option() -> click.Option:
    """The option ``-C DIR``, as in make, git and tar."""
    return click.Option(
        ["go_to", "-C", "--directory"],
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_go_to,
        help="Run the command as if it was typed in this directory.",
    )


def _take_directory(command: click.Command) -> None:
    """Add ``-C`` to a command and its subcommands, unless it passes options on to the workflow."""
    if not command.ignore_unknown_options and not any("-C" in p.opts for p in command.params):
        command.params.append(_directory_option())
    for member in getattr(command, "commands", {}).values():
        _take_directory(member)


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        for name in ("motoko", "BlackDynamite", "ZEO", "pyzmq"):
            click.echo(f"{name} {version(name)}")
        context.exit()


@click.group(
    cls=LazyGroup,
    params=[_directory_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--verbose", "-v", is_flag=True, help="Show the traceback of errors.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of Motoko and of the packages that it uses.",
)
@click.pass_context
def cli(context: click.Context, verbose: bool) -> None:
    """Run workflows of BlackDynamite studies.

    A workflow is a directory with a motoko.yaml: the current directory, or DIR of `motoko -C DIR
    COMMAND`. Commands without other arguments also take the directory, or the file, as an argument.

    \b
    To begin with:
      motoko init first             write a small workflow into the directory first
      motoko run                    everything with one command, or in pieces:
      motoko create                 initialise the studies' databases, once
      motoko supervise --detach     start the daemons and the launchers
      motoko orchestrator start --run_name first
      motoko ps, motoko info        look at the processes, and at the runs
      motoko kill                   stop everything
    """
    context.obj.verbose = context.obj.verbose or verbose


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code. Never returns.

    A ``MotokoError``, or a group of them, becomes a message, a hint and the error's exit code; an
    interruption exits with 130. Any other exception is a bug and keeps its traceback.
    """
    options = Options()
    _have_streams()
    try:
        code = _run(arguments, options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe. With /dev/null as standard output, the interpreter's flush
        # at exit does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_BROKEN_PIPE
    sys.exit(code)


def _have_streams() -> None:
    """Open standard streams that the caller has closed: other files would get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # open() uses the lowest free number, which is this one.
            file = open(os.devnull, "r+")  # noqa: SIM115 (it stays open as long as the process)
            os.set_inheritable(file.fileno(), True)
            setattr(sys, name, file)


def _run(arguments: list[str] | None, options: Options) -> int:
    try:
        result: Any = cli.main(arguments, "motoko", obj=options, standalone_mode=False)
    except (MotokoError, ExceptionGroup) as error:
        expected = expected_errors(error)
        if not expected:
            raise
        return tell(expected, error, options.verbose)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except PermissionError as error:
        what = error.filename or "a process of another account"
        failure: MotokoError = NotPermitted(
            f"{what}: {(error.strerror or 'permission denied').lower()}",
            hint=remedy(Path(os.fsdecode(error.filename))) if error.filename else None,
        )
        return tell([failure], error, options.verbose)
    except OSError as error:
        # An error about a file names the file. One about our output names none: the disk is full,
        # or the terminal is gone.
        if error.filename is not None or error.errno not in _OF_OUTPUT:
            raise
        failure = CannotWrite(f"the output cannot be written: {error.strerror}")
        with contextlib.suppress(OSError):
            tell([failure], error, options.verbose)
        return failure.exit_code
    # Outside standalone mode click returns the code that a command gave to `context.exit`.
    return result if isinstance(result, int) else 0
