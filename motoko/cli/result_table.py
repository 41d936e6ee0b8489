"""``motoko table``: parameters and results of a study's runs."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render import written_tables
from motoko.cli.selecting import constraints_option, study_argument, study_named
from motoko.cli.texts import TEXT
from motoko.config import load


@click.command(short_help="Print parameters and results of a study's runs.")
@study_argument()
@constraints_option('Only runs that obey these, such as "state = FINISHED, x < 3".')
@click.option("--run_name", type=TEXT, help="Only runs of this run_name.")
@click.option("--columns", type=TEXT, metavar="A,B,C", help="These columns, in this order.")
@click.option("--sort", type=TEXT, metavar="[-]COLUMN", help="Sort by it; `-`: largest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="The first N rows only.")
@written_tables.format_option()
@written_tables.output_option()
def command(
    bd_study: str,
    constraints: tuple[str, ...],
    run_name: str | None,
    columns: str | None,
    sort: str | None,
    limit: int | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Print the parameters and results of a study's runs: a row for each.

    The columns are id, state and run_name, the parameters in the order of bd.yaml, and what runs
    carry beside them. `--columns` takes any entry: `jobs.x` and `runs.x` where both have one.
    All rows are of one transaction, which is named on standard error. It works with and without a
    supervisor, and changes nothing.

    What is too large for a table (arrays, texts of more than 4,096 characters) is shown as
    <what it is>. A missing value is an empty cell, or null.

    \b
    Examples:
      motoko table solve
      motoko table solve --columns mesh,load,energy --sort -energy --limit 10
      motoko table solve --constraints "state = FINISHED" -o results.csv
      motoko table solve --format jsonl | jq .energy
    """
    from motoko.reports.results import Wanted, results

    config = load()
    study = study_named(config, bd_study)
    form = written_tables.form_of(form, output)
    wanted = Wanted(
        constraints,
        run_name,
        [name.strip() for name in columns.split(",") if name.strip()] if columns else (),
        sort.removeprefix("-") if sort else None,
        bool(sort and sort.startswith("-")),
        limit,
    )
    with results(config, study, wanted) as table:
        written_tables.tell_of(study.name, table.without)
        written_tables.write(table.columns, table.rows, form, output, {study.name: table.tid})
        written_tables.tell_when(study.name, table.tid)
