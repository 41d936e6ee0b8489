"""A batch system is one folder and one line: a fictitious one is taken for as good as Slurm."""

import asyncio

import pytest
from fictitious_batch import Fictitious
from support import write_workflow

from motoko.batch import registry
from motoko.batch.batch_system import Job, Phase
from motoko.config import load
from motoko.config.decoding import WrongValue
from motoko.config.policy import Policy
from motoko.errors import ConfigError
from motoko.layout import Runtime
from motoko.operations.generator_check import check_generators
from motoko.runs import launch_script
from motoko.runs.job_facts import JobFacts
from motoko.workers.daemon import Daemon
from motoko.workers.launcher.executor import Changed, Ended
from motoko.workers.launcher.executors import Executors
from motoko.workers.launcher.preparing import Prepared
from motoko.workers.launcher.recovery import examine
from motoko.workers.launcher.slots import Slots

YAML = """\
generator: fictitiousCoat
fictitious_options: [quick quiet]
task_managers:
  mult: {fictitious_options: [small]}
  add: {generator: slurm}
orchestrator: orchestrator.main
"""


@pytest.fixture
def system(monkeypatch):
    """The fictitious system, registered by one line."""
    one_more = Fictitious()
    monkeypatch.setattr(registry, "SYSTEMS", [*registry.SYSTEMS, one_more])
    return one_more


@pytest.fixture
def directory(tmp_path):
    flow = write_workflow(tmp_path / "wf", ("mult", "add"))
    flow.path.write_text(YAML)
    return flow.directory


def test_unknown_without_that_line(directory):
    with pytest.raises(ConfigError, match="generator: must be one of bash, slurm, pbs, sge"):
        load(directory)


def test_motoko_yaml(system, directory):
    config = load(directory)
    assert config.warnings == ()
    assert [study.generator for study in config.studies.values()] == ["fictitious", "slurm"]
    policy = config.studies["mult"].policy
    assert list(policy.options_for("fictitious")) == ["quick", "quiet", "small"]
    assert policy.options_for("slurm") == {}
    assert list(policy.changed({"fictitious_options": ["last"]}).options_for("fictitious"))[-1] == (
        "last"
    )


def test_wrong_options(system):
    with pytest.raises(WrongValue, match=r"options .forbidden cannot be used") as caught:
        Policy().changed({"fictitious_options": ["forbidden"]})
    assert caught.value.name == "fictitious_options"


def test_check(system, directory):
    check_generators(load(directory), "fictitious")
    system.is_broken = True
    with pytest.raises(ConfigError, match="no jobs can be submitted"):
        check_generators(load(directory), "fictitious")
    with pytest.raises(ConfigError, match="there is no generator 'condor'") as caught:
        check_generators(load(directory), "condor")
    assert caught.value.hint == "use bash or slurm or fictitious"


@pytest.mark.parametrize("name", ["pbs", "sgeCoat"])
def test_those_that_are_not_there_yet(directory, name):
    (directory / "motoko.yaml").write_text(YAML.replace("fictitiousCoat", name))
    with pytest.raises(ConfigError, match="is not there yet: bash, slurm are") as caught:
        check_generators(load(directory))
    assert "`generator: slurm` or `generator: bash`" in caught.value.hint


@pytest.mark.parametrize("name", ["bash", "bashCoat", "slurmCoat", "fictitious"])
def test_available(system, name):
    assert registry.is_available(name)


@pytest.mark.parametrize("name", ["pbs", "Coat", "", None, 3, ["slurm"]])
def test_not_available(name):
    assert not registry.is_available(name)


def test_people_read_its_title(system):
    entries = {"batch_system": "fictitious", "batch_name": "n", "batch_job_id": "3"}
    assert JobFacts.of(entries).system == "Fictitious"
    assert JobFacts.of({**entries, "batch_system": "other"}).system == "other"


class TestLauncher:
    """The launcher's jobs go to the system that motoko.yaml names, and to no other."""

    @pytest.fixture
    def run(self, directory):
        place = directory / "mult" / "BD-mult-runs" / "run-7"
        place.mkdir(parents=True)
        client = launch_script.client_variables(host="h", schema="s", run_id=7, user="u")
        files = launch_script.files("#F long\ntrue\n", client, Policy())
        (place / "launch.sh").write_text(files["launch.sh"])
        return {"id": 7, "run_path": str(place), "run_name": "r", "attempt": 1}

    @pytest.fixture
    def news(self):
        return asyncio.Queue()

    @pytest.fixture
    def executors(self, system, directory, news):
        config = load(directory)
        daemon = Daemon("launcher:mult", config, Runtime(directory, directory / "sockets"), 0.0)
        slots = Slots(directory / "slots", 1)
        return Executors(daemon, config.studies["mult"], slots, None, news.put_nowait)

    def test_from_start_to_end(self, system, executors, run, news, directory):
        policy = load(directory).studies["mult"].policy
        place = directory / "mult" / "BD-mult-runs" / "run-7"
        executor = executors.chosen

        async def scenario():
            executors.watch()
            (room,) = executor.room([1])
            start = executor.start(Prepared(7, place, 1, "r", policy), room)
            start.mark(run)
            start.begin()
            async with asyncio.timeout(20):
                submitted = Changed(7, {"batch_job_id": "1", "batch_state": "PENDING"})
                assert await news.get() == submitted
                assert executors.of(7) is executor and executors.runs == [7]
                executor.end(7, "enough", final=True)
                while not isinstance(event := await news.get(), Ended):
                    pass
            executors.leave()
            assert (event.run_id, event.end.reason, event.end.final) == (7, "enough", True)
            assert executors.runs == []

        asyncio.run(scenario())
        (scheduler,) = system.schedulers
        (submission,) = scheduler.submissions
        assert (run["batch_system"], run["batch_name"]) == ("fictitious", submission.name)
        assert submission.options == ["long", "quick", "quiet", "small", "x1"]
        script = directory / ".wf" / "batch" / "fictitious-job.sh"
        assert submission.script == script and "job=$F_JOB" in script.read_text()
        assert scheduler.queue == {}
        assert executors.counts["scheduler_commands"] == executors.counts["scheduler_queries"] + 1

    def test_jobs_are_followed_in_the_system_that_they_were_given_to(self, system, executors, run):
        """motoko.yaml may name another one by now, or one that is not there any more."""
        policy = Policy()
        job = {**run, "state": "launched", "batch_name": "n", "batch_job_id": "3"}

        async def scenario():
            executors.adopt(examine({**job, "batch_system": "slurm"}, lambda entries: policy))
            assert executors.of(7).name == "slurm" and executors.chosen.name == "fictitious"
            with pytest.raises(registry.UnknownSystem, match="no batch system 'condor'"):
                executors.adopt(examine({**job, "batch_system": "condor"}, lambda entries: policy))

        asyncio.run(scenario())

    def test_the_job_of_a_run_that_was_reset_is_nobodys(self, system, executors, run):
        job = {**run, "state": "CREATED", "batch_name": "n", "batch_job_id": "3"}
        job["batch_system"] = "fictitious"

        async def scenario():
            situation = examine(job, lambda entries: Policy())
            assert situation.job is None and situation.retry_at is not None
            executors.adopt(situation)
            (scheduler,) = system.schedulers
            scheduler.queue = {"3": Job("3", "n", "QUEUED", Phase.PENDING)}
            executors.watch()
            async with asyncio.timeout(20):
                while scheduler.queue:
                    await asyncio.sleep(0)
            executors.leave()
            assert executors.runs == []

        asyncio.run(scenario())
