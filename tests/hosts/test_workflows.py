"""Workflows on hosts by themselves: runs are executed on nodes that are other hosts."""

from batch import executions
from host import Host

PLAIN = {"mult": "    host: zeo://head:9500\n    insecure_tcp: true\n"}


def test_jobs_on_other_hosts(batch, lab):
    """By the port that nothing protects."""
    flow, session = batch(below=PLAIN)
    numbers = session.create("hostname > where; python doIt.py", count=3)
    entries = session.finished(numbers)
    nodes = {(flow.place(number) / "where").read_text().strip() for number in numbers}
    assert nodes <= {node.name for node in lab.nodes}
    assert [len(executions(flow.place(number))) for number in numbers] == [1, 1, 1]
    assert {entry["batch_nodes"] for entry in entries.values()} == nodes
    assert isinstance(lab.hosts[nodes.pop()], Host)
