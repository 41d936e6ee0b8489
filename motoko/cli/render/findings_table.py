"""The output of `motoko doctor`: a line for each finding with its remedy below, or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from motoko.health.check_findings import Finding, Level
from motoko.host.durations import counted

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "red"}


def show_json(directory: Path, findings: Sequence[Finding]) -> None:
    """Print one JSON object."""
    values: list[dict[str, Any]] = msgspec.to_builtins(findings)
    click.echo(json.dumps({"directory": str(directory), "findings": values}, indent=2))


def show(directory: Path, findings: Sequence[Finding]) -> None:
    """Print a line for each finding, with its remedy below, and the number of each level."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = click.style(f"{finding.level:8}", fg=_COLOURS[finding.level])
        first, *more = finding.text.split("\n")
        click.echo(f"{level} {finding.check:{width}}  {first}")
        indent = " " * (width + 11)
        for line in more:
            click.echo(indent + line)
        if finding.remedy:
            click.echo(f"{indent}remedy: {finding.remedy}")
    counts = Counter(finding.level for finding in findings)
    click.echo(
        f"{directory}: {counts[Level.OK]} ok, {counted(counts[Level.WARNING], 'warning')}, "
        f"{counted(counts[Level.FAILURE], 'failure')}"
    )
