"""Runs on nodes that are other hosts, with nothing said of that anywhere."""

from batch import executions

# On each node of a job, what a user might do there.
LOOK = """\
each() { srun --overlap --nodes=2 --ntasks=2 sh -c "$1"; }
each 'cd ../.. && canYouDigIt runs info > seen-$SLURMD_NODENAME'
each 'cd ../../.. && motoko ps --json > ps-$SLURMD_NODENAME'
python doIt.py
"""


def test_jobs_on_other_hosts(batch, lab):
    flow, session = batch()
    numbers = session.create("hostname > where; python doIt.py", count=3)
    entries = session.finished(numbers)
    nodes = {(flow.place(number) / "where").read_text().strip() for number in numbers}
    assert nodes <= {node.name for node in lab.nodes}
    assert [len(executions(flow.place(number))) for number in numbers] == [1, 1, 1]
    assert {entry["batch_nodes"] for entry in entries.values()} == nodes


def test_a_job_of_two_nodes(batch, lab):
    """BlackDynamite's and Motoko's own commands work on each of them."""
    flow, session = batch(yaml="slurm_options: [nodes=2, 'nodelist=n1,n2']\n")
    (number,) = session.create(LOOK)
    session.finished([number])
    for name in ("n1", "n2"):
        assert "job info" in (flow.directory / "mult" / f"seen-{name}").read_text(), name
        assert '"ready"' in (flow.directory / f"ps-{name}").read_text(), name
