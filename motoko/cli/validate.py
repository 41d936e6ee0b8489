"""``motoko validate``: check a workflow; start and change nothing."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render import shown_findings
from motoko.cli.texts import WORKFLOW_PATH
from motoko.errors import ConfigError


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=WORKFLOW_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """Check the workflow's files. Nothing is started, executed or changed.

    Shows all problems at once, each with file, line and remedy: those that `motoko supervise` and
    `motoko run` would refuse, and those that would appear later, such as syntax errors in
    launch.sh, doIt.py and the orchestrator, missing modules and programs, a forgotten await,
    placeholders without parameters, and options that the scheduler would refuse.

    Exits with 2 if there is any error, and with 0 otherwise.
    """
    from motoko.operations.validating import validate

    findings = validate(directory)
    show = shown_findings.show_json if as_json else shown_findings.show
    show(findings)
    if any(finding.is_error for finding in findings):
        context.exit(ConfigError.exit_code)
