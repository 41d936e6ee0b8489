"""The workflow's own options, beside ours, in the commands that run its orchestrator."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from motoko.config import WorkflowConfig
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
    populate = getattr(load_module(config), "populate_arg_parser", None)
    if populate is not None:
        populate(parser)
    values = parser.parse_args(arguments)
    parameters = {
        name: value
        for name, value in vars(values).items()
        if value is not None and (name not in ours or name == "run_name")
    }
    return values, parameters


def log_to_terminal(verbose: bool = False) -> None:
    """Show an orchestrator's warnings, and with ``verbose`` also what is fired, on stderr."""
    logger = logging.getLogger("motoko")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("motoko: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
