"""``motoko table``: parameters and results of a study's runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from motoko.cli.render import written_tables
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import constraints_option, study_argument, study_named
from motoko.cli.texts import TEXT
from motoko.config import load
from motoko.errors import ConfigError
from motoko.runs.references import listed


@click.command(short_help="Print parameters and results of a study's runs.")
@study_argument()
@constraints_option('Only runs that obey these, such as "state = FINISHED, x < 3".')
@click.option("--run_name", type=TEXT, help="Only runs of this run_name.")
@click.option("--columns", type=TEXT, metavar="A,B,C", help="These columns, in this order.")
@click.option("--sort", type=TEXT, metavar="[-]COLUMN", help="Sort by it; `-`: largest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="The first N rows only.")
@click.option(
    "--quantity",
    type=TEXT,
    metavar="NAME",
    help="What runs have pushed under this name: a row for each step.",
)
@click.option("--at", type=TEXT, metavar="TID", help="The state after this transaction, or time.")
@written_tables.format_option()
@written_tables.output_option()
def command(
    bd_study: str,
    constraints: tuple[str, ...],
    run_name: str | None,
    columns: str | None,
    sort: str | None,
    limit: int | None,
    quantity: str | None,
    at: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Print the parameters and results of a study's runs: a row for each.

    The columns are id, state and run_name, the parameters in the order of bd.yaml, and the runs'
    other entries. `--columns` takes any entry: `jobs.x` and `runs.x` if both jobs and runs have an
    x. All rows are as of one transaction, which is named on standard error. The command works with
    and without a supervisor, and changes nothing.

    Values that are too large for a table (arrays, texts of more than 4,096 characters) are shown as
    <what it is>. A missing value is an empty cell, or null.

    With `--quantity NAME` the command prints what runs have pushed by pushQuantity
    (pushScalarQuantity, pushVectorQuantity): a row for each step with run, step, component and
    value, and then the `--columns`. Vectors have a row for each component: 0, 1, ...

    With `--at` the command prints an earlier state: after a transaction, or at a local time of this
    host. States from before the database was last packed are not available.

    \b
    Examples:
      motoko table solve
      motoko table solve --columns mesh,load,energy --sort -energy --limit 10
      motoko table solve --constraints "state = FINISHED" -o results.csv
      motoko table solve --format jsonl | jq .energy
      motoko table solve --quantity ekin --columns mesh -o ekin.csv
      motoko table solve --at "2026-11-30 09:00"
    """
    from motoko.reports.chosen_runs import Wanted
    from motoko.reports.pushed_quantities import PushedQuantity, pushed_quantity
    from motoko.reports.results import Results, results

    config = load()
    study = study_named(config, bd_study)
    tell_standing(config, [study])
    form = written_tables.form_of(form, output)
    if quantity is not None and at is not None:
        raise ConfigError(
            "quantities are in files, of which no earlier state is kept",
            hint="leave out --at, or --quantity",
        )
    wanted = Wanted(
        constraints,
        run_name,
        [name.strip() for name in columns.split(",") if name.strip()] if columns else (),
        sort.removeprefix("-") if sort else None,
        bool(sort and sort.startswith("-")),
        limit,
        _transaction(at),
    )
    with contextlib.ExitStack() as stack:
        table: Results | PushedQuantity
        if quantity is None:
            table = stack.enter_context(results(config, study, wanted))
        else:
            table = stack.enter_context(pushed_quantity(config, study, quantity, wanted))
        written_tables.tell_of(study.name, table.without)
        tids = {study.name: table.tid}
        written_tables.write(table.columns, table.parts, form, output, tids, table.types)
        written_tables.tell_when(study.name, table.tid)
        if isinstance(table, PushedQuantity) and table.gone:
            runs = listed([f"{study.name}.{number}" for number in table.gone])
            click.echo(f"{study.name}: the files of these runs are gone: {runs}", err=True)


def _transaction(at: str | None) -> str | None:
    from motoko.mirror.earlier_state import earlier_tid

    return None if at is None else earlier_tid(at)
