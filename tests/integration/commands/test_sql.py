"""``motoko sql``: SQL over all studies' results, which cannot change anything."""

import json

import pytest
from mirrors import check, path_of
from support import Flow
from watching import Other


@pytest.fixture
def flow(workflow) -> Flow:
    flow = workflow(studies=("mult", "add"))
    flow.supervise("--no-launchers")
    other = Other(flow)
    numbers = other.create("mult", [1.0, 2.0, 3.0])
    for number, energy in zip(numbers, [1.5, 2.5, "none"], strict=True):
        other.play("mult", [number], {"energy": energy, "is_done": number > 1}, "FINISHED")
    other.create("add", [2.0])
    other.close()
    for study in flow.studies:
        check(flow, study)
    return flow


def ask(flow, query, *arguments, code=0):
    done = flow.motoko("sql", query, *arguments)
    assert done.returncode == code, done.stderr
    return done


def as_json(flow, query):
    return json.loads(ask(flow, query, "--format", "json").stdout)


QUERIES = {
    "SELECT id, x, energy FROM mult WHERE energy > 2 ORDER BY id": [
        {"id": 2, "x": 2.0, "energy": 2.5},
        {"id": 3, "x": 3.0, "energy": "none"},
    ],
    "SELECT sum(is_done) AS n, state FROM mult GROUP BY state": [{"n": 2, "state": "FINISHED"}],
    "SELECT m.id, a.id AS other FROM mult m JOIN add_ a USING (x)": None,
    'SELECT m.id, a.id AS other FROM mult m JOIN "add" a USING (x)': [{"id": 2, "other": 1}],
    "SELECT count(*) AS n FROM mult": [{"n": 3}],
    "SELECT 1 AS one": [{"one": 1}],
}


def test_queries(flow):
    def all_hold():
        for query, rows in QUERIES.items():
            if rows is None:
                assert "no such table" in ask(flow, query, code=2).stderr
            else:
                assert as_json(flow, query) == rows

    all_hold()
    shown = ask(flow, "SELECT * FROM mult")
    assert "mult: as of transaction" in shown.stderr and "job_id" in shown.stdout
    nothing_else(flow)
    assert flow.motoko("kill").returncode == 0
    all_hold()
    path_of(flow).unlink()  # then it is read from the database
    all_hold()


REFUSED = [
    "DELETE FROM mult",
    "DROP TABLE study0.runs",
    "UPDATE study0.runs SET state = 'x' WHERE 'mult' = 'mult'",
    "PRAGMA study0.journal_mode = DELETE",
    "ATTACH '/tmp/other' AS other",
    "CREATE TABLE t (a)",
    "SELECT load_extension('x') FROM mult",
    "SELECT 1; SELECT 2",
    "SELECT nothing FROM mult",
    "SELEC",
    " ",
]


def nothing_else(flow):
    """What is refused changes nothing."""
    mirror = path_of(flow).read_bytes()
    for query in REFUSED:
        done = ask(flow, query, code=2)
        assert "Traceback" not in done.stderr and done.stdout == "", query
    assert path_of(flow).read_bytes() == mirror
