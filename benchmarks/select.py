"""What selecting the FINISHED among many runs costs, compared with motoko 0.1.4.

A small part of a study's runs is FINISHED. *Cold*: a fresh process connects, and then evaluates
``select("state = FINISHED")`` for the first time. *Repeated*: it makes and evaluates the same
selection again and again; 0.1.4 does so fewer times, and its time is scaled, since it would take
20 minutes otherwise.

Both get the same script and the same database: Motoko fills the study, and its file is copied to
the peer, whose own server then serves it. Each has a virtual environment and a directory of its
own, and while one version is measured no process of the other runs.
"""

from __future__ import annotations

import sys

if __name__ == "select":
    # Python looks for modules beside the script first, and so finds this file where the scripts
    # here (and what they import, like subprocess) mean the standard library's `select`.
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    _here = __file__.rpartition("/")[0]
    _spec = PathFinder.find_spec("select", [each for each in sys.path if each not in ("", _here)])
    assert _spec is not None and _spec.loader is not None
    sys.modules["select"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["select"])
else:
    import argparse
    import shutil
    import statistics
    import tempfile
    from pathlib import Path

    from chain import DEFAULT_PEER_VENV, PEER, peer_programs
    from create import AT_ONCE, FILES, Study
    from scratch import PROGRAMS, end_cleanly_when_terminated, machine, report

COLD = 5.0
REPEATED = 20.0
IN_A_ROW = 1000

FINISH = """\
import json
import sys

import transaction

from motoko.workflow import Workflow

every = int(sys.argv[1])
workflow = Workflow("motoko.yaml")
runs = workflow.step.connect().runs
numbers = sorted(runs.keys())[::every]
for number in numbers:
    runs[number]["state"] = "FINISHED"
transaction.commit()
with open("result.json", "w") as file:
    json.dump(len(numbers), file)
"""

SELECT = """\
import json
import sys
import time

from motoko.workflow import Workflow

count = int(sys.argv[1])
workflow = Workflow("motoko.yaml")
workflow.run_name = "benchmark"
study = workflow.step
study.connect()
started = time.perf_counter()
found = len(study.select("state = FINISHED"))
cold = time.perf_counter() - started
started = time.perf_counter()
for _ in range(count):
    assert len(study.select("state = FINISHED")) == found
repeated = time.perf_counter() - started
with open("result.json", "w") as file:
    json.dump({"found": found, "cold": cold, "each": repeated / max(count, 1)}, file)
"""


def fill(runs: int, finished: int, database: Path) -> None:
    """Make a study with this many runs, and put a copy of its database somewhere."""
    with Study({**FILES, "finish.py": FINISH}) as study:
        study.serve()
        for first in range(0, runs, AT_ONCE):
            study.script("create.py", "at-once", first, min(AT_ONCE, runs - first))
        count = study.script("finish.py", runs // finished)
        assert count == finished, f"{count} runs are FINISHED, instead of {finished}"
        study.motoko("kill")
        shutil.copyfile(study.directory / "step" / ".bd" / "bd.zeo", database)


def measure(
    programs: Path, database: Path, finished: int, turns: int, count: int
) -> tuple[list[float], float]:
    """Seconds of each cold selection, and of one of many in a row."""
    with Study({**FILES, "select_finished.py": SELECT}, programs) as study:
        study.motoko("create", "--validated", "./")
        study.motoko("kill")
        bd_dir = study.directory / "step" / ".bd"
        (bd_dir / "bd.zeo.index").unlink(missing_ok=True)  # of the database that existed before
        shutil.copyfile(database, bd_dir / "bd.zeo")
        if study.ours:  # the peer starts its server when it connects
            study.motoko("supervise", "--detach", "--no-launchers")
        cold = []
        for turn in range(turns):
            in_a_row = count if turn == turns - 1 else 0
            result = study.script("select_finished.py", in_a_row)
            assert result["found"] == finished, f"{result['found']} found instead of {finished}"
            cold.append(result["cold"])
        return cold, result["each"]


def main() -> None:
    """Measure both, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="(default: 10000)")
    parser.add_argument("--finished", type=int, default=100, help="(default: 100)")
    parser.add_argument("--repeats", type=int, default=3, help="cold selects (default: 3)")
    parser.add_argument(
        "--peer-selects",
        type=int,
        default=10,
        help=f"how many of its {IN_A_ROW} in a row the peer makes (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_PEER_VENV, metavar="DIR")
    options = parser.parse_args()
    if min(options.finished, options.repeats, options.peer_selects) < 1:
        parser.error("numbers have to be positive")
    if options.runs % options.finished:
        parser.error("runs has to be a multiple of finished")
    end_cleanly_when_terminated()

    contestants = {"ours": PROGRAMS, "peer": peer_programs(options.peer_venv.absolute())}
    counts = {"ours": IN_A_ROW, "peer": options.peer_selects}
    cold: dict[str, list[float]] = {}
    each: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="mb-") as directory:
        database = Path(directory, "bd.zeo")
        fill(options.runs, options.finished, database)
        for name, programs in contestants.items():
            cold[name], each[name] = measure(
                programs, database, options.finished, options.repeats, counts[name]
            )

    medians = {name: statistics.median(seconds) for name, seconds in cold.items()}
    ratio_cold = round(medians["peer"] / medians["ours"], 1)
    ratio_repeated = round(each["peer"] / each["ours"], 1)
    passed = ratio_cold >= COLD and ratio_repeated >= REPEATED
    result = {
        "machine": machine(),
        "runs": options.runs,
        "finished": options.finished,
        "peer": f"motoko {PEER}",
        "cold": cold,
        "cold_ratio": ratio_cold,
        "repeated": {name: seconds * IN_A_ROW for name, seconds in each.items()},
        "measured_in_a_row": counts,
        "repeated_ratio": ratio_repeated,
        "passed": passed,
    }
    labels = {"ours": "ours", "peer": f"motoko {PEER}"}
    lines = [
        f"select of the {options.finished:,} FINISHED among {options.runs:,} runs, seconds",
        "cold: the first in a fresh process",
        *(
            f"  {labels[name]:<13}{medians[name]:9.3f}   "
            f"({', '.join(f'{one:.3f}' for one in seconds)})"
            for name, seconds in cold.items()
        ),
        f"  {'ratio':<13}{ratio_cold:9.1f}   (promised: at least {COLD:g})",
        f"{IN_A_ROW:,} in a row",
        *(
            f"  {labels[name]:<13}{seconds * IN_A_ROW:9.3f}"
            + ("" if counts[name] == IN_A_ROW else f"   (from {counts[name]}, scaled)")
            for name, seconds in each.items()
        ),
        f"  {'ratio':<13}{ratio_repeated:9.1f}   (promised: at least {REPEATED:g})",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
