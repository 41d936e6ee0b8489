"""A study's database and run directories as JSON, by plain BlackDynamite: executed in a study.

Of times there is only what they are; of places, where they are in the workflow. What is
Motoko's own begins with `motoko.`, and is left out.
"""

import datetime
import json
from pathlib import Path

import BlackDynamite as BD

# What differs with the environment: the packages that are installed.
OF_ENVIRONMENT = {"python_requirements", "blackdynamite_version", "exec"}
WORKFLOW = str(Path.cwd().resolve().parent)


def plain(value):
    """A value as JSON has it, with its type."""
    name = type(value).__name__
    if isinstance(value, datetime.datetime):
        return name
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [name, *(plain(item) for item in value)]
    if name == "ndarray":
        return [name, str(value.dtype), value.tolist()]
    return f"{name} {value!r}".replace(WORKFLOW, "<workflow>")


def entries(of):
    return {
        name: plain(value)
        for name, value in of.entries.items()
        if not name.startswith("motoko.") and name not in OF_ENVIRONMENT
    }


def files(directory):
    """What a user sees in a run directory; of outputs what they hold."""
    seen = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in Path(name).parts):
            has_text = path.suffix in (".csv", ".dat") or ".o" in name
            seen[name] = path.read_text() if has_text else ""
    return seen


def main():
    base = BD.Base()
    jobs = {number: entries(job) for number, job in sorted(base.jobs.items())}
    runs = {}
    for number, run in sorted(base.runs.items()):
        quantities = {name: str(path) for name, path in run.quantities.items()}
        runs[number] = {
            "entries": entries(run),
            "config_files": sorted(base.configfiles[name].filename for name in run.configfiles),
            "quantities": plain(quantities),
            "files": files(Path(run["run_path"])) if "run_path" in run.entries else {},
        }
    print(json.dumps({"jobs": jobs, "runs": runs, "quantities": sorted(base.quantities)}))


main()
