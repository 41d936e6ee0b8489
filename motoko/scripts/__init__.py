"""Entry points that scripts written for motoko 0.1.4 call: ``motoko.scripts.kill.main(args)``.

Each of 0.1.4's commands was a module here. What they did, today's commands do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

# The options that a script may have put into ``args``, by 0.1.4's modules.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "clean": ("delete", "bd_study", "constraints"),
    "info": ("verbose", "bd_study"),
    "kill": ("verbose", "bd_study", "reset", "aggressive"),
    "launcher": ("generator", "log", "do_not_detach", "bd_study"),
    "orchestrator": ("run_name", "detach", "wait"),
}


def arguments_of(command: str, args: argparse.Namespace) -> list[str]:
    """The command line of today's command for the ``args`` of 0.1.4's."""
    words = [command]
    if command == "orchestrator":
        words.append(getattr(args, "what", "start"))
    for name in _OPTIONS[command]:
        value = getattr(args, name, None)
        if value is True:
            words.append(f"--{name}")
        elif value not in (None, False):
            words += [f"--{name}", str(value)]
    return words


def _main(command: str, args: argparse.Namespace) -> None:
    from motoko.cli.main import Options, cli

    cli.main(arguments_of(command, args), "motoko", obj=Options(), standalone_mode=False)


def _command_line() -> None:
    from motoko.cli.main import main

    main()


def _module(name: str, main: Callable[..., None]) -> ModuleType:
    module = ModuleType(f"{__name__}.{name}", f"``motoko {name}``, as 0.1.4 has it.")
    vars(module).update(main=main, command=name)
    sys.modules[module.__name__] = module
    return module


clean, info, kill, launcher, orchestrator = (
    _module(name, partial(_main, name)) for name in _OPTIONS
)
main = _module("main", _command_line)
