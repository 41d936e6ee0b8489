"""Jobs go on while the daemons that have submitted them are replaced by another version's."""

import json

import pytest
from batch import executions, no_attempt_twice, note_executions
from former_versions import PINNED, Both, NoVersion, before_the_change, sources
from launching import Session, place, scripted
from support import wait_until

from motoko.runs.entries import DocumentedEntries

JOBS, PACKS, WARM = STUDIES = ("jobs", "packs", "warm")
BELOW = {PACKS: "    pack: {runs: 6, at_once: 2}\n", WARM: "    pack: 6\n"}
RUNS = 9  # of each study, the first of which waits until all is replaced
WAIT = "while not os.path.exists('go'): time.sleep(0.05)\n"
END = "run.start(); run.finish()"


@pytest.fixture
def both(cluster, workflow, tmp_path_factory):
    for version in (before_the_change, lambda: PINNED):
        try:
            earlier = sources(version(), tmp_path_factory.mktemp("earlier"))
            break
        except NoVersion as error:
            why = str(error)
    else:
        pytest.skip(why)
    flow = workflow(studies=STUDIES, created=False)
    scripted(flow, "generator: slurm\nbatch: {poll_interval: 5s}\n", BELOW)
    note_executions(flow)
    return Both(flow, earlier)


def test_plain_ones_and_packs(both):
    flow = both.flow
    both.old("supervise", "--detach")
    pids = flow.pids()
    session = Session(flow)
    runs = {
        study: [
            session.create(
                f"python doIt.py # {number}",
                END if number else WAIT + END,
                study,
                **({"python": "warm"} if study == WARM else {}),
            )
            for number in range(RUNS)
        ]
        for study in STUDIES
    }
    gates = {study: place(flow, of_study[0], study) for study, of_study in runs.items()}
    wait_until(lambda: all(map(executions, gates.values())), "the first ones are being executed")
    # Jobs on the host of the servers have no relay that would keep their connections.
    output = both.new("upgrade", "--all", "--wait", "1s")
    same = {name for name, pid in flow.pids().items() if pids[name] == pid}
    assert same == {f"zeo:{study}" for study in STUDIES}, output
    assert "zeo:packs is as it was: " in output
    for study, (first, *_) in runs.items():
        seen = json.loads(flow.motoko("explain", f"{study}.{first.id}", "--json").stdout)
        assert seen["status"] == "running", seen
        (gates[study] / "go").touch()
    every = [(study, run) for study, of_study in runs.items() for run in of_study]
    assert session.ends(*(run for _, run in every), timeout=120) == [None] * len(every)
    for study, run in every:
        assert DocumentedEntries(run.entries)["attempt"] == 1
        assert len(executions(place(flow, run, study))) == 1
    output = both.new("upgrade", "--all", "--wait", "1m")
    assert not set(flow.pids().values()) & set(pids.values()), output
    session.close()
    no_attempt_twice(flow)
