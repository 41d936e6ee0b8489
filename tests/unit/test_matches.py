"""Matches that are kept up to date are those that a search of all runs would find."""

import getpass
import random

import pytest
import transaction
from BTrees.OOBTree import OOBTree
from ZODB.POSException import ConflictError

from motoko.bd.base import StudyBase, open_file
from motoko.bd.changes import capture
from motoko.bd.create import create_study
from motoko.bd.tasks import TaskCreator
from motoko.config import StudyConfig
from motoko.constraints import compile_constraints
from motoko.policy import Policy

CONSTRAINTS = [
    "state = FINISHED",
    "state != FINISHED, x > 1",
    "runs.id > 3, state ~ ^[CF]",
    "runs.id = 4, state = FINISHED",
    "y < 3",
    "jobs.x = 2, y = 1",
    "note = seen",
    "",
]


@pytest.fixture
def base(tmp_path):
    directory = tmp_path / "study"
    directory.mkdir()
    (directory / "launch.sh").write_text("true\n")
    study = StudyConfig(
        "study",
        directory,
        host=None,
        jobs={"x": int},
        runs={"y": int},
        job_space={},
        run_params={},
        config_files=(),
        policy=Policy(),
        generator="bash",
        settings={},
    )
    create_study(study)
    base = open_file(study)
    yield base
    base.close()


@pytest.fixture
def other(base):
    """What others do: a view and transactions of its own."""
    manager = transaction.TransactionManager()
    connection = base.db.open(manager)
    yield connection
    manager.abort()
    connection.close()


def create(base: StudyBase, values, y=0):
    run = {"y": y, "nproc": 1, "run_name": "r", "machine_name": "localhost"}
    return TaskCreator(base).create(
        [{"x": value} for value in values],
        run,
        executable=base.study.directory / "launch.sh",
        files=[],
        identity=[*run],
    )


def predicate(base, text):
    return compile_constraints(text, job_types=base.types("job"), run_types=base.types("run"))


def searched(base, wanted):
    """By looking at everything."""
    jobs = base.jobs.entries
    return [
        number
        for number, run in base.runs.entries.items()
        if wanted(
            {**vars(run), **dict(run.entries.items())}, dict(jobs[run.entries["job_id"]].entries)
        )
    ]


def check(base):
    for text in CONSTRAINTS:
        wanted = predicate(base, text)
        found = base.matches.find(wanted)
        assert [run.entries["id"] for run, _ in found] == searched(base, wanted), text
        for run, job in found:
            assert run is base.runs.entries[run.entries["id"]]
            assert job is base.jobs.entries[run.entries["job_id"]]


def content(connection):
    return connection.root()["schemas"].entries[f"{getpass.getuser()}_study"]


def a_run(content, rng):
    runs = content["Runs"].entries
    return runs[rng.choice(list(runs.keys()))] if runs else None


def change(content, rng):
    """Something that happens to a run or a job."""
    run = a_run(content, rng)
    if run is None:
        return
    match rng.randrange(7):
        case 0 | 1 | 2:
            run.entries["state"] = rng.choice(["CREATED", "START", "FINISHED", "FAILED"])
        case 3:
            run.entries["y"] = rng.randrange(5)
        case 4:
            run.note = rng.choice(["seen", "unseen"])
        case 5:  # grows out of one record
            for number in range(20):
                run.entries[f"more{rng.randrange(50)}"] = number
        case 6:
            content["Jobs"].entries[run.entries["job_id"]].entries["x"] = rng.randrange(4)


def commit():
    try:
        transaction.commit()
    except ConflictError:
        transaction.abort()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens(base, other, seed):
    rng = random.Random(seed)
    create(base, [0, 1, 2])
    commit()
    for _ in range(150):
        match rng.randrange(10):
            case 0:
                create(
                    base, [rng.randrange(4) for _ in range(rng.randrange(1, 4))], rng.randrange(3)
                )
            case 1 | 2:
                change(base.content, rng)
            case 3:
                commit()
            case 4:
                transaction.abort()
            case 5 | 6 | 7:
                commit()  # so that nobody has a conflict
                other.transaction_manager.begin()
                change(content(other), rng)
                other.transaction_manager.commit()
            case 8:
                commit()
                other.transaction_manager.begin()
                runs = content(other)["Runs"].entries
                if runs and rng.random() < 0.5:
                    del runs[rng.choice(list(runs.keys()))]
                other.transaction_manager.commit()
            case 9:
                transaction.begin()
        if rng.random() < 0.7:
            check(base)
    check(base)


def test_flushed_cache(base):
    create(base, [0, 1, 2])
    transaction.commit()
    check(base)
    base.connection._storage._invalidateCache()  # as after a long disconnection
    transaction.begin()
    check(base)


def test_replaced_container(base, other):
    create(base, [0, 1, 2])
    transaction.commit()
    check(base)
    other.transaction_manager.begin()
    entries = content(other)["Runs"].entries
    content(other)["Runs"].entries = OOBTree({2: entries[2], 3: entries[1]})
    other.transaction_manager.commit()
    transaction.begin()
    wanted = predicate(base, "state = CREATED")
    assert [
        run is base.runs.entries[n]
        for (run, _), n in zip(base.matches.find(wanted), (2, 3), strict=True)
    ] == [True, True]


def test_what_is_captured_before_a_commit(base):
    """Runs and jobs, not the study's own counters: a creation is repeated as a whole."""
    ((run, _),) = create(base, [0])
    transaction.commit()
    create(base, [1])
    run.entries["y"] = 7
    captured = capture(base.connection)
    assert [each.content.get("id") for each in captured] == [run.entries["id"]]


def test_many_predicates(base):
    """Those that nobody asks for any more do not stay for ever."""
    create(base, [0, 1, 2])
    transaction.commit()
    for number in range(1250):
        assert len(base.matches.find(predicate(base, f"x < {number}"))) == min(number, 3)
    assert len(base.matches._found) <= 1000


def test_only_what_changed_is_read(base, other):
    """A commit by somebody else costs one run's reading, however many there are."""
    create(base, range(300))
    transaction.commit()
    wanted = predicate(base, "state = FINISHED")
    assert base.matches.find(wanted) == []
    other.transaction_manager.begin()
    content(other)["Runs"].entries[17].entries["state"] = "FINISHED"
    other.transaction_manager.commit()
    transaction.begin()
    looked_at = []
    meets = base.matches.meets
    base.matches.meets = lambda *args: looked_at.append(args[1].entries["id"]) or meets(*args)
    assert [run.entries["id"] for run, _ in base.matches.find(wanted)] == [17]
    assert looked_at == [17]
    assert len(base.matches.find(wanted)) == 1 and looked_at == [17]
