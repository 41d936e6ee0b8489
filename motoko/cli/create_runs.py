"""``motoko create-runs``: create runs at the points of a file."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.selecting import study_argument, study_named
from motoko.cli.texts import TEXT
from motoko.config import load
from motoko.host.durations import counted

EVENT_NAME = "create-runs"


@click.command("create-runs", short_help="Create runs at the points of a file.")
@study_argument()
@click.option(
    *("--from", "source"),
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The points: *.csv, *.json, *.jsonl or *.parquet.",
)
@click.option("--run_name", "-n", required=True, type=TEXT, help="The run_name of the runs.")
@click.option(
    *("--set", "assignments"),
    multiple=True,
    type=TEXT,
    metavar="NAME=VALUE",
    help="A job parameter that is the same for all points.",
)
@click.option(
    *("--run_params", "run_assignments"),
    multiple=True,
    type=TEXT,
    metavar="NAME=VALUE",
    help="A parameter of the runs, such as nproc=4.",
)
def command(
    bd_study: str,
    source: Path,
    run_name: str,
    assignments: tuple[str, ...],
    run_assignments: tuple[str, ...],
) -> None:
    """Create runs of a study, one for each line of a file, or find those that exist.

    The first line of a CSV file names job parameters; other job parameters come from --set, or
    from job_space in bd.yaml. A JSON file is an array of objects; a JSON-lines file has an object
    on each line. Values have the types that bd.yaml declares; in CSV, lists and dicts are JSON. The
    whole file is checked first: if anything in it is wrong, nothing is created.

    Runs that exist already are found again, as by createTask: so the command may be repeated, and
    an orchestrator of the same run_name finds the runs by select or createTask. The command starts
    a supervisor, without launchers, if there is none.

    \b
    Examples:
      motoko create-runs solve --from points.csv --run_name doe
      motoko create-runs solve --from points.csv -n doe --set mesh=fine --run_params nproc=2
    """
    from motoko.operations.point_files import assigned, read_points

    config = load()
    study = study_named(config, bd_study)
    values = dict(assigned(text, study.jobs) for text in assignments)
    run_params = dict(assigned(text, study.runs, undeclared=True) for text in run_assignments)
    file = read_points(source, study)
    from motoko.api.workflow import Workflow

    workflow = Workflow(config.path)
    workflow.run_name = run_name
    try:
        manager = workflow.task_managers[study.name]
        runs = manager.create_runs(
            file.points,
            values,
            run_params=run_params,
            commit=True,
            caller=EVENT_NAME,
            place=file.place,
        )
        different = len({run._p_oid for run, _ in runs})
        made = manager.made
    finally:
        workflow.close()
    parts = [f"{counted(made, 'run')} created", f"{different - made} existed already"]
    if different < len(runs):
        parts.append(f"{counted(len(runs) - different, 'point')} given again")
    click.echo(f"{study.name}: {', '.join(parts)}")
