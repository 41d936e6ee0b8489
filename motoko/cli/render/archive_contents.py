"""What is made for an archive: tables, graph, report, and what computed it all."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path

from motoko.cli.render import report_page
from motoko.cli.render.study_tables import write_tables
from motoko.config import StudyConfig, WorkflowConfig
from motoko.health.installation import homepage, versions
from motoko.health.surroundings import git_commit, surroundings
from motoko.operations.archive_staging import Staging
from motoko.operations.archiving import Contents
from motoko.operations.crate_metadata import CrateFacts, Quantity, Software
from motoko.reports import graph_data, layered_drawing, run_graph
from motoko.reports.pushed_quantities import pushed_files
from motoko.reports.report_facts import collect
from motoko.reports.result_columns import FIRST


def made(
    config: WorkflowConfig, staging: Staging, outputs: Sequence[str], now: datetime
) -> Contents:
    """Make what an archive has besides the workflow, in the staging's directory.

    Raises what the reports raise.
    """
    place = staging.config.directory.parent / "made"
    (place / "tables").mkdir(parents=True)
    quantities = {study.name: _tables(staging, study, place) for study in staging.studies}
    rows = run_graph.rows_of(staging.config, staging.studies)
    names = [study.name for study in staging.studies]
    graph = run_graph.of_studies(staging.config.directory.name, names, rows)
    _write(place / "graph.svg", layered_drawing.svg(graph))
    _write(place / "graph.json", json.dumps(graph_data.graph_data(names, rows), indent=1) + "\n")
    around = dict(surroundings(config.directory))
    facts = collect(staging.config, staging.studies, None, now.timestamp())
    facts = dataclasses.replace(facts, workflow=config.path)
    _write(place / "report.html", report_page.rendered(facts, around))
    packages = {str(one.name): one.version for one in distributions()}
    about = {"surroundings": around, "packages": dict(sorted(packages.items()))}
    _write(place / "environment.json", json.dumps(about, indent=1) + "\n")
    counts = Counter(row.study for row in rows)
    return Contents(
        CrateFacts(
            quantities,
            {name: counts[name] for name in names},
            now.isoformat(timespec="seconds"),
            around["python"],
            [Software(name, text, homepage(name)) for name, text in versions().items()],
            git_commit(config.directory),
            outputs,
        ),
        {
            path.relative_to(place).as_posix(): path
            for path in sorted(place.rglob("*"))
            if path.is_file()
        },
        {study.name: pushed_files(staging.config, study) for study in staging.studies},
        outputs,
    )


def _tables(staging: Staging, study: StudyConfig, place: Path) -> list[Quantity]:
    """Write a study's tables; returns their columns."""
    columns = write_tables(staging.config, study, place / "tables")
    return [_quantity(study, name, kind) for name, kind in columns if name not in FIRST]


def _quantity(study: StudyConfig, label: str, kind: type | None) -> Quantity:
    prefix, dot, name = label.rpartition(".")
    name = name if dot and prefix in ("jobs", "runs") else label
    if prefix != "runs" and name in study.jobs:
        return Quantity(label, "job", study.jobs[name])
    if name in study.runs:
        return Quantity(label, "run", study.runs[name])
    return Quantity(label, "result", kind)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")
