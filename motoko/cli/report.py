"""``motoko report``: what a workflow has computed, as one page."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import chosen, study_option
from motoko.cli.texts import TEXT, WORKFLOW_PATH
from motoko.config import load

NAME = "report.html"


@click.command(short_help="Write a page about the workflow and its results.")
@click.option(
    *("output", "-o", "--output"),
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(NAME),
    metavar="FILE",
    help=f"The page; by default {NAME} in the current directory.",
)
@click.option("--run_name", type=TEXT, help="Only runs of this run_name.")
@study_option("Only this study.")
@click.argument("directory", metavar="[DIR]", required=False, type=WORKFLOW_PATH)
def command(output: Path, run_name: str | None, bd_study: str, directory: Path | None) -> None:
    """Write one page about the workflow: what was computed, when, and what failed.

    The page is a single HTML file that loads nothing from anywhere: send it, print it, keep it. It
    has the studies with the states of their runs, which runs led to which, a timeline, what runs
    used and how long they took, the values of parameters and results, failures by reason with the
    end of standard error, what it ran on, and plots: those that `report:` in motoko.yaml names, or
    else the first results over the first parameter. Plots need motoko[plot]. The command works with
    and without a supervisor, and changes nothing.

    \b
    Examples:
      motoko report
      motoko report --run_name first -o first.html
      motoko report ~/calculations/eos -o eos.html
    """
    from motoko.cli.render import report_page, written_tables
    from motoko.health.surroundings import surroundings
    from motoko.reports.report_facts import collect

    config = load(directory)
    tell_standing(config)
    facts = collect(config, chosen(config, bd_study), run_name)
    text = report_page.rendered(facts, surroundings(config.directory))
    with written_tables.replaced(output) as path:
        path.write_text(text, encoding="utf-8")
    runs = sum(study.runs for study in facts.studies)
    click.echo(f"{output}: {len(facts.studies)} of {len(config.studies)} studies, {runs} runs")
