"""``motoko sql``: SQL over parameters and results of all studies."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render import written_tables
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.texts import TEXT
from motoko.config import load


@click.command(short_help="Ask the results of all studies by SQL.")
@click.argument("query", type=TEXT)
@written_tables.format_option()
@written_tables.output_option()
def command(query: str, form: str | None, output: Path | None) -> None:
    """Query parameters and results with a SELECT of SQLite; nothing can be changed.

    Each study is a table, with a row for each run and a column for each parameter and each entry
    that any run has, including state, run_name and job_id. Write names with characters other than
    letters, digits and _ in double quotes. Bools are 1 and 0, dates are texts that sort as
    dates do, lists and dicts are JSON; values that are too large for a table, and NaN, are NULL.

    \b
    Examples:
      motoko sql "SELECT mesh, avg(energy) FROM solve WHERE state = 'FINISHED' GROUP BY mesh"
      motoko sql "SELECT s.id, r.error FROM solve s JOIN refine r USING (mesh)" -o errors.csv
    """
    from motoko.reports.sql_answers import answer

    config = load()
    tell_standing(config)
    form = written_tables.form_of(form, output)
    with answer(config, query) as given:
        for study, moment in given.moments.items():
            written_tables.tell_of(study, moment.without)
        tids = {study: moment.tid for study, moment in given.moments.items()}
        rows = written_tables.in_parts(given.rows)
        written_tables.write(given.columns, rows, form, output, tids)
        for study, moment in given.moments.items():
            written_tables.tell_when(study, moment.tid)
