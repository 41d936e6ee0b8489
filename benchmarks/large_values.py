"""What a large result costs: the bytes that later small changes of the same run write.

A script sets a large value on a run and commits; then it sets small entries, one in each commit,
as doIt.py does with its steps. The benchmark measures how much the database's file has grown.
This version and motoko 0.1.4 get the same script and a new study, each in a virtual environment
of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from chain import DEFAULT_PEER_VENV, PEER, peer_programs
from create import FILES, Study
from scratch import PROGRAMS, end_cleanly_when_terminated, machine, report

RATIO = 20.0  # promised: this many times fewer bytes for the small changes
CHANGES = 20

SCRIPT = """\
import json
import sys
from pathlib import Path

import transaction

from motoko.workflow import Workflow

size, changes = map(int, sys.argv[1:])
workflow = Workflow("motoko.yaml")
workflow.run_name = "benchmark"
study = workflow.task_managers["step"]
study.connect()
study.createTask(x=1, commit=True)
(run,) = study.base.runs.entries.values()
database = Path("step/.bd/bd.zeo")
grown = []
for number in range(changes + 1):
    before = database.stat().st_size
    run[f"small_{number}" if number else "result"] = number or bytes(size)
    transaction.commit()
    grown.append(database.stat().st_size - before)
assert run["result"] == bytes(size)
with open("result.json", "w") as file:
    json.dump(grown, file)
"""


def grown(size: int, programs: Path) -> list[int]:
    """Bytes that the large value has written, and each small change after it."""
    with Study({**FILES, "large.py": SCRIPT}, programs) as study:
        study.serve()
        numbers: list[int] = study.script("large.py", size, CHANGES)
        return numbers


def main() -> None:
    """Measure both, print a table, and exit with 1 if the promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=20_000_000, help="bytes (default: 20,000,000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_PEER_VENV, metavar="DIR")
    options = parser.parse_args()
    end_cleanly_when_terminated()

    contestants = {"ours": PROGRAMS, "peer": peer_programs(options.peer_venv.absolute())}
    written = {name: grown(options.size, programs) for name, programs in contestants.items()}
    ours, peer = (sum(numbers[1:]) for numbers in written.values())
    ratio = round(peer / ours, 1)
    passed = ratio >= RATIO
    result = {
        "machine": machine(),
        "size": options.size,
        "changes": CHANGES,
        "peer": f"motoko {PEER}",
        "bytes": written,
        "ratio": ratio,
        "passed": passed,
    }
    lines = [
        f"{CHANGES} small changes of a run that has a value of {options.size / 1e6:g} MB",
        *(
            f"  {label:<13}{sum(written[name][1:]) / 1e6:10.3f} MB   "
            f"(the value itself: {written[name][0] / 1e6:.1f} MB)"
            for name, label in (("ours", "ours"), ("peer", f"motoko {PEER}"))
        ),
        f"  {'ratio':<13}{ratio:10.1f}      (promised: at least {RATIO:g})",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
