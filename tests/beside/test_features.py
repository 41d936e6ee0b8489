"""What a doIt.py may do leaves the same in the database and on disk as under motoko 0.1.4.

``features/doIt.py`` has a function for each; one workflow of each side executes them all.
"""

import json
import re
import shutil
from pathlib import Path

from public_workflow import Side
from support import wait_until

HERE = Path(__file__).parent
SOURCE = HERE / "features"
MOTOKO_YAML = "task_managers:\n  features:\norchestrator: orchestrator.main\n"
FEATURES = re.findall(r"^def (\w+)\(run, job\)", (SOURCE / "doIt.py").read_text(), re.MULTILINE)
# The states that docs/migrating.md says to differ: theirs, and ours.
DIFFERENT = {"never_ends": ("str 'START'", "str 'FAILED'")}
# The states of those that do not finish.
ENDS = {
    "never_ends": "START",
    "state_of_its_own": "CONVERGED",
    **dict.fromkeys(("fails", "raises", "exits", "fails_in_a_state_of_its_own"), "FAILED"),
}
# What a run reads that knows nothing of Motoko's own entries: docs/orchestrators.md.
OURS = {"attempt": "int 1"}
# 0.1.4 puts a command behind launch.sh that sets FAILED, and shows its progress.
OF_PROGRESS = re.compile(r"^Load(ing|ed) .*\n", re.MULTILINE)


def write(directory):
    study = directory / "features"
    shutil.copytree(SOURCE, study)
    (study / "orchestrator.py").rename(directory / "orchestrator.py")
    (directory / "motoko.yaml").write_text(MOTOKO_YAML)


def begin(side):
    """Have its daemons execute the features, in the words of 0.1.4's documentation."""
    write(side.directory)
    side.run("motoko", "create", "--validated", ".")
    side.run("motoko", "launcher")
    side.run("motoko", "orchestrator", "start", "--run_name", "features")


def dumped(side):
    """Wait for the ends of all runs, stop all daemons, and dump what they have left."""
    runs = side.directory / "features" / "BD-features-runs"

    def ended():
        return len(list(runs.glob("*/.ended"))) == len(FEATURES)

    wait_until(ended, "all have ended", timeout=600)
    wait_until(lambda: not side.living_in(runs), "launch.sh is gone")
    side.run("motoko", "kill")
    # By the same plain BlackDynamite: so ours leaves what 0.1.4 opens.
    reader = Side.public(side.directory)
    text = reader.run("python", HERE / "dump_study.py", study="features")
    reader.run("canYouDigIt", "server", "stop", study="features", code=None)
    return json.loads(text[text.index('{"jobs"') :])


def of_feature(dump, feature):
    """What there is of the feature's run, but for what is said to differ."""
    number = str(FEATURES.index(feature) + 1)
    assert dump["jobs"][number]["feature"] == f"str {feature!r}"
    run = dump["runs"].pop(number)
    run["files"] = {name: OF_PROGRESS.sub("", text) for name, text in run["files"].items()}
    return run


def test_they_leave_the_same(sides):
    for side in sides:
        begin(side)
    # Theirs takes longer: it executes one after the other.
    ours, theirs = (dumped(side) for side in reversed(sides))
    assert len(FEATURES) >= 27
    wrong = {}
    for feature in FEATURES:
        here, there = of_feature(ours, feature), of_feature(theirs, feature)
        # The features themselves are right.
        expected = ENDS.get(feature, "FINISHED")
        assert there["entries"]["state"] == f"str {expected!r}", (feature, there)
        for name, value in OURS.items():
            assert here["entries"].pop(name) == value
        if values := DIFFERENT.get(feature):
            assert (there["entries"].pop("state"), here["entries"].pop("state")) == values
        if here != there:
            wrong[feature] = here, there
    assert not wrong
    # What is left is the run that one of them has attached, and not executed.
    assert len(ours["runs"]) == 1 and ours == theirs
