"""``motoko publish``: what a workflow has computed, for others to read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from motoko.config import load


@click.command(short_help="Write results, databases and a report for others to read.")
@click.argument("place", type=click.Path(path_type=Path), metavar="DIR")
def command(place: Path) -> None:
    """Write what others may read into DIR, or replace what was published there before.

    DIR has a report, a table for each study (CSV, and Parquet with motoko[table]), and copies of
    the studies' databases, each as it was after one transaction, with the scripts. There `motoko
    info`, `table`, `report` and the like work (`-C DIR`) for whoever your umask lets read it, and
    so does Workflow(path, read_only=True) in Python. Keys, logs, run directories, `notify:` and
    values of `environment:` are not in it; a file that holds such a value is refused.

    DIR is a symbolic link that is switched from one version to the next at once; who has the
    version before open can go on. The workflow may be running.

    \b
    Examples:
      motoko publish /shared/eos
      motoko table solve -C /shared/eos
    """
    from motoko.cli.render import report_page
    from motoko.cli.render.study_tables import write_tables
    from motoko.health.known_secrets import known_secrets
    from motoko.health.surroundings import surroundings
    from motoko.host.durations import counted
    from motoko.operations.publishing import publication
    from motoko.reports.report_facts import collect

    config = load()
    secrets = known_secrets(config.directory, config, os.environ, config.archive.environment)
    with publication(config, place, secrets) as draft:
        directory = draft.config.directory
        (directory / "tables").mkdir()
        for study in draft.studies:
            write_tables(draft.config, study, directory / "tables")
        facts = collect(draft.config, draft.studies, None)
        facts = replace(facts, workflow=config.path)
        page = report_page.rendered(facts, surroundings(config.directory))
        (directory / "report.html").write_text(page, encoding="utf-8", errors="replace")
    for name, why in draft.left_out.items():
        click.echo(f"{name}: left out: {why}", err=True)
    for name, tid in draft.tids.items():
        click.echo(f"{name}: as of transaction {tid}", err=True)
    runs = sum(study.runs for study in facts.studies)
    click.echo(f"{place}: {counted(len(draft.tids), 'study')}, {counted(runs, 'run')}")
