"""The findings in a workflow's files, as text and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import click

from motoko.host.durations import counted
from motoko.operations.findings import Finding


def show(findings: Sequence[Finding]) -> None:
    """Print two lines for each finding: the place with the problem, and what to do."""
    for finding in findings:
        line = "" if finding.line is None else f":{finding.line}"
        click.echo(f"{_shown(finding.file)}{line}: {_kind(finding)}: {finding.problem}")
        if finding.remedy:
            click.echo(f"    to do: {finding.remedy}")
    errors = sum(finding.is_error for finding in findings)
    others = len(findings) - errors
    click.echo(f"{counted(errors, 'error')}, {counted(others, 'warning')}")


def show_json(findings: Sequence[Finding]) -> None:
    """Print one JSON object: ``{"findings": [...]}``."""
    objects = [
        {
            "severity": _kind(finding),
            "file": str(finding.file),
            "line": finding.line,
            "problem": finding.problem,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    click.echo(json.dumps({"findings": objects}, indent=2))


def _kind(finding: Finding) -> str:
    return "error" if finding.is_error else "warning"


def _shown(path: Path) -> str:
    """A path in its shortest form: relative to the current directory, or absolute."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the current directory is gone
        return str(path)
    return min(relative, str(path), key=len)
