"""``main`` creates a workflow's studies: kept for scripts that call it."""

from __future__ import annotations

import argparse

from motoko.api.workflow import Workflow


def main(args: argparse.Namespace) -> Workflow:
    """Create the studies of the workflow in ``args.directory``; asks unless ``args.validated``."""
    workflow = Workflow(f"{args.directory}/motoko.yaml")
    workflow.create(args.validated)
    return workflow
