"""Several studies open in one process never mix: the cases that FACTS.md names as wrong.

All through a workflow's task managers. Job and run numbers are the same in both studies, so that
whatever reaches into the wrong one finds something there.
"""

from support import Flow

STUDIES = {
    "alpha": "study: alpha\njob:\n  x: float\nrun:\n  depth: int\nrun_params:\n  depth: 1\n",
    "beta": "study: beta\njob:\n  name: str\nrun:\n  width: str\nrun_params:\n  width: w\n",
}


TYPES = {"alpha": ({"x"}, {"depth"}), "beta": ({"name"}, {"width"})}


BOTH = ("alpha", "beta")


def write(directory):
    directory.mkdir(parents=True)
    (directory / "motoko.yaml").write_text(
        "task_managers:\n  alpha:\n  beta:\norchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    for study, text in STUDIES.items():
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(text)
        (directory / study / "launch.sh").write_text(f"# {study} __BLACKDYNAMITE__study__\n")
        (directory / study / "doIt.py").write_text(f"# {study}\n")
    return Flow(directory, BOTH)


def files(base):
    return {file.filename: file.file for file in base.configfiles.values()}
