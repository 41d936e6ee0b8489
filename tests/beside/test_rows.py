"""What an orchestrator and its runs see, side by side with motoko 0.1.4: names, values, PATH.

The same workflow is executed by each; what must be the same in both is in docs/migrating.md.
"""

import json

MOTOKO_YAML = "task_managers:\n  rows:\naliases:\n  other: rows\norchestrator: orchestrator.main\n"
BD_YAML = """\
study: rows
job:
  x: float
  n: int
  label: str
  flag: bool
  anything: object
run:
  depth: int
"""
ORCHESTRATOR = """\
import asyncio
import importlib
import json
from pathlib import Path

SCRIPTS = ("clean", "create_studies", "info", "kill", "launcher", "orchestrator")
OF_THE_COMMAND = ("command", "what", "detach", "verbose")
seen = {"handled": []}


def populate_arg_parser(parser):
    parser.add_argument("--depth", type=int, default=2)


def handler(workflow, runs, params, **kwargs):
    seen["handled"] += [[run.state, job.label] for run, job in runs]
    seen["of_handlers"] = {name: kwargs[name] for name in (*OF_THE_COMMAND, "depth")}
    Path("seen.json").write_text(json.dumps(seen))


async def main(workflow, **params):
    seen["of_main"] = {name: params[name] for name in (*OF_THE_COMMAND, "depth", "run_name")}
    seen["wait"] = float(params["wait"])
    seen["modules"] = [
        hasattr(importlib.import_module(f"motoko.scripts.{name}"), "main") for name in SCRIPTS
    ]
    seen["config"] = [sorted(workflow.rows.base.config), workflow.config["aliases"]]
    seen["aliases"] = [workflow.other is workflow.rows, Path(workflow.directory).is_dir()]
    workflow.add_error_handler(f=handler)
    created = []
    for values in VALUES:
        runs = workflow.rows.createTask({"depth": params["depth"]}, **values)
        created += [job.id for _, job in runs.runs]
    seen["jobs"] = created
    await asyncio.Event().wait()  # an error handler ends the workflow


VALUES = [
    {"x": 1.5, "n": 1, "label": "same", "flag": True, "anything": [1, 2]},
    {"x": 1.5, "n": 1, "label": "same", "flag": True, "anything": [1, 2]},
    {"x": 2.5, "n": 2, "label": "fails", "flag": False, "anything": 3},
]
"""
DO_IT = """\
import json
import os
import shutil
import sys
from pathlib import Path

import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
path = [Path(part).name for part in os.environ["PATH"].split(os.pathsep)]
seen = {
    "own": [name for name in path if name in ("first", "second")],
    "tool": Path(shutil.which("tool-of-two")).parent.name,
}
Path("path.json").write_text(json.dumps(seen))
if job.label == "fails":
    sys.exit(3)
run.finish()
"""


def executed(side):
    """Execute the workflow; returns what its orchestrator and its runs have seen."""
    study = side.directory / "rows"
    study.mkdir(parents=True)
    for path, text in (
        (side.directory / "motoko.yaml", MOTOKO_YAML),
        (side.directory / "orchestrator.py", ORCHESTRATOR),
        (study / "bd.yaml", BD_YAML),
        (study / "doIt.py", DO_IT),
        (study / "launch.sh", "#!/bin/bash\npython doIt.py\n"),
    ):
        path.write_text(text)
    side.run("motoko", "create", "--validated", ".")
    side.run("motoko", "launcher")
    print(side.run("motoko", "orchestrator", "start", "-n", "r", "--depth", "3", code=None))
    side.run("motoko", "kill")
    runs = [path.read_text() for path in sorted(study.glob("BD-rows-runs/*/path.json"))]
    return json.loads((side.directory / "seen.json").read_text()), list(map(json.loads, runs))


def test_the_same_is_seen(sides, tmp_path, monkeypatch):
    for name in ("first", "second"):
        tool = tmp_path / name / "tool-of-two"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/first:{tmp_path}/second", prepend=":")
    there, here = map(executed, sides)
    assert there == here
    seen, runs = here
    assert seen["handled"] == [["FAILED", "fails"]] and seen["jobs"] == [1, 2, 1, 2, 3]
    assert runs == 3 * [{"own": ["first", "second"], "tool": "first"}]
