"""What hidden blocks of pages check, which readers of a page need not see."""

from pathlib import Path

import yaml

from motoko.config import load

WHOLE = {"task_managers": {"mesh": None, "solve": None}, "orchestrator": "orchestrator.main"}


def accepted(part: str) -> None:
    """Motoko accepts a file that a page shows, with the keys that every workflow has."""
    for study in ("mesh", "solve"):
        Path(study).mkdir(exist_ok=True)
        Path(study, "bd.yaml").write_text(f"study: {study}\njob: {{x: float}}\n")
        Path(study, "launch.sh").write_text("python doIt.py\n")
        Path(study, "doIt.py").write_text("")
    Path("orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    values = {**WHOLE, **yaml.safe_load(Path(part).read_text())}
    Path("motoko.yaml").write_text(yaml.safe_dump(values))
    load(Path("motoko.yaml"))
