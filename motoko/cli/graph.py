"""``motoko graph``: how runs have led to runs."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render import written_tables
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import study_option, with_databases
from motoko.cli.texts import TEXT, WORKFLOW_PATH
from motoko.config import load
from motoko.errors import ConfigError

FORMATS = ("mermaid", "svg", "dot")


@click.command(short_help="Draw how runs have led to runs.")
@click.argument("directory", metavar="[DIR]", default=".", type=WORKFLOW_PATH)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="The format; by default the one that the file's name ends with, or mermaid.",
)
@click.option(
    *("-o", "--output"),
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the graph into this file.",
)
@click.option("--runs", "of_runs", is_flag=True, help="Draw single runs, of at most 300.")
@click.option("--run_name", type=TEXT, help="Only runs of this run_name.")
@study_option("Only this study.")
def command(
    directory: Path,
    form: str | None,
    output: Path | None,
    of_runs: bool,
    run_name: str | None,
    bd_study: str,
) -> None:
    """Draw the studies of the workflow in DIR, the states of their runs, and which led to which.

    An arrow from one study to another says how many runs of the other were created after runs of
    the first: by a coroutine that had awaited these, or by a handler that was called for them, or
    with `createTask(after=...)`. With `--runs` each run is drawn.

    Mermaid's text is understood by GitHub, GitLab and many editors, that of dot by Graphviz. The
    command works with and without a supervisor, and changes nothing. The drawing names the time
    that it stands at, and what is not known.

    \b
    Examples:
      motoko graph
      motoko graph -o graph.svg
      motoko graph --runs --run_name first --format dot | dot -Tpdf -o graph.pdf
    """
    from motoko.reports import graph_texts, layered_drawing, run_graph
    from motoko.reports.standing import all_standing

    config = load(directory)
    studies = with_databases(config, bd_study)
    tell_standing(config, studies)
    notes = all_standing(config, studies)
    rows = run_graph.rows_of(config, studies, run_name)
    title = config.directory.name + (f", run name {run_name}" if run_name is not None else "")
    graph = (
        run_graph.of_runs(title, rows)
        if of_runs
        else run_graph.of_studies(title, [study.name for study in studies], rows)
    )
    graph.notes = notes
    text = {
        "mermaid": graph_texts.mermaid,
        "svg": layered_drawing.svg,
        "dot": graph_texts.dot,
    }[_form(form, output)](graph)
    if output is None:
        click.echo(text, nl=False)
        return
    with written_tables.replaced(output) as path:
        path.write_text(text)


def _form(form: str | None, output: Path | None) -> str:
    """The format, by what was asked for, or by the file's name."""
    if form is not None or output is None:
        return form or FORMATS[0]
    by_end = {".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg", ".dot": "dot", ".gv": "dot"}
    if output.suffix not in by_end:
        raise ConfigError(
            f"{output}: no format is known by the end of this name",
            hint=f"name it *{', *'.join(by_end)}, or give --format",
        )
    return by_end[output.suffix]
