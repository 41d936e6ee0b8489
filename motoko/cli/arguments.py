"""The workflow's own options, beside ours, in the commands that run its orchestrator."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig, load
from motoko.errors import MotokoError
from motoko.orchestrator_file import load_function, load_module


def parse(
    config: WorkflowConfig, arguments: list[str], parser: argparse.ArgumentParser
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parse our options and the workflow's own, which its ``populate_arg_parser`` may add.

    Returns:
        All values, and the orchestrator's parameters: ``run_name`` and the workflow's own, without
        those that are ``None``.
    """
    load_function(config)  # or fail now, before anything is started
    ours = {action.dest for action in parser._actions}
    _populate(config, parser)
    values = parser.parse_args(arguments)
    parameters = {
        name: value
        for name, value in vars(values).items()
        if value is not None and (name not in ours or name == "run_name")
    }
    return values, parameters


def wants_help(arguments: list[str]) -> bool:
    """Whether help is asked for."""
    return "--help" in arguments or "-h" in arguments


def help_text(
    make_parser: Callable[[], argparse.ArgumentParser], directory: Path | None = None
) -> str:
    """A command's help with the workflow's own options, or why these are missing."""
    parser = make_parser()
    try:
        _populate(load(directory), parser)
        return parser.format_help()
    except MotokoError as error:
        why = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the user's module may raise anything)
        why = f"its orchestrator cannot be asked: {type(error).__name__}: {error}"
    return f"{make_parser().format_help()}\nThe workflow's own options are missing here: {why}\n"


def _populate(config: WorkflowConfig, parser: argparse.ArgumentParser) -> None:
    populate = getattr(load_module(config), "populate_arg_parser", None)
    if populate is not None:
        populate(parser)


def log_to_terminal(verbose: bool = False) -> None:
    """Show an orchestrator's warnings, and with ``verbose`` also what is fired, on stderr."""
    logger = logging.getLogger("motoko")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("motoko: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
