"""What motoko.yaml, createTask and launch.sh say about jobs, and what Slurm makes of it."""

import shutil
import tempfile
from pathlib import Path

import pytest
from batch import entries, executing, executions, finished, job_of
from cluster import Cluster
from launching import GATE, go, place
from support import wait_until

from motoko.errors import ParameterError
from motoko.runs.entries import DocumentedEntries
from motoko.runs.paths import exit_path

FINISH = "python doIt.py\n"
GATED = GATE + FINISH
YAML = 'slurm_options: [time=10, "--nice=5", "-c 2", comment=all]\n'
BELOW = {"mult": '    slurm_options: ["time=20", "cpus-per-task 3"]\n'}


class TestSlurmOptions:
    def test_the_later_overrides_the_earlier(self, batch, cluster):
        """Workflow, study, run: by the option's name, however it is written."""
        _, session = batch(yaml=YAML, below=BELOW, studies=("mult", "add"))
        runs = {
            "workflow": session.create(GATED, study="add"),
            "study": session.create(GATED),
            "run": session.create(f"{GATED}# 2", slurm_options=["-t 30", "--nice=7"]),
        }
        expected = {
            "workflow": ("00:10:00", "5", "2"),
            "study": ("00:20:00", "5", "3"),
            "run": ("00:30:00", "7", "3"),
        }
        for name, run in runs.items():
            shown = cluster.show(job_of(session, run))
            seen = shown["TimeLimit"], shown["Nice"], shown["CPUs/Task"]
            assert seen == expected[name], name
            study = "add" if name == "workflow" else "mult"
            wait_until(place(session.flow, run, study).exists, "its directory is there")
            (place(session.flow, run, study) / "go").touch()
        finished(session, *runs.values())

    def test_options_that_are_refused_are_found_before(self, batch):
        """`motoko validate` asks Slurm, and submits nothing."""
        flow, _ = batch(yaml="slurm_options: [partition=nope]\n")
        done = flow.motoko("validate")
        assert done.returncode == 2 and "mult/launch.sh: error: sbatch would refuse" in done.stdout
        assert "invalid partition" in done.stdout and "1 error" in done.stdout
        text = flow.path.read_text().replace("partition=nope", "time=10")
        flow.path.write_text(text)
        assert flow.motoko("validate").returncode == 0
        flow.path.write_text(f"{text}pack: 20\ntimeout: 60s\n")
        done = flow.motoko("validate")
        assert done.returncode == 0 and "may take longer than the 600 s" in done.stdout, done.stdout
        flow.path.write_text(text.replace("generator: slurm", "generator: bash"))
        assert "pack" not in flow.motoko("validate").stdout
        flow.path.write_text(flow.path.read_text().replace("  mult:\n", "  mult: {pack: 20}\n"))
        done = flow.motoko("validate")
        assert done.returncode == 0 and "pack: is for batch jobs" in done.stdout, done.stdout

    def test_directives_in_launch_sh(self, batch, cluster):
        """#SBATCH lines above the first command are honoured; slurm_options override them."""

        def edit(flow):
            path = flow.directory / "mult" / "launch.sh"
            head = "#!/bin/bash\n# A comment\n#SBATCH --time=7\n#SBATCH --nice=3 # why\n\n"
            late = "\n#SBATCH --comment=late\n"
            path.write_text(f"{head}#SBATCH -n 2\n{path.read_text()}{late}")  # a command between

        flow, session = batch(edit=edit)
        run = session.create(GATED)
        other = session.create(f"{GATED}# 2", slurm_options=["time=9"])
        shown, overridden = (cluster.show(job_of(session, each)) for each in (run, other))
        assert (shown["TimeLimit"], shown["Nice"], shown["NumTasks"]) == ("00:07:00", "3", "2")
        assert shown.get("Comment") != "late"
        assert (overridden["TimeLimit"], overridden["Nice"]) == ("00:09:00", "3")
        for each in (run, other):
            go(flow, each)
        finished(session, run, other)

    @pytest.mark.parametrize("how", ["function", "file"])
    def test_modules(self, batch, monkeypatch, tmp_path, how):
        """Loaded before launch.sh's own first command, wherever the command ``module`` is from."""
        module = '() { echo "$@" >> modules; }'
        if how == "function":  # as a login shell exports it
            monkeypatch.setenv("BASH_FUNC_module%%", module)
        else:  # as non-interactive shells are to define it
            (tmp_path / "init").mkdir()
            (tmp_path / "init" / "bash").write_text(f"module{module}\n")
            monkeypatch.setenv("MODULESHOME", str(tmp_path))
        flow, session = batch(below={"mult": "    modules: [gcc/13, openmpi]\n"})
        run = session.create(f"cp modules before\n{FINISH}")
        finished(session, run)
        lines = (place(flow, run) / "before").read_text().splitlines()
        assert lines[-1] == "load gcc/13 openmpi", lines

    def test_output_options_of_the_user(self, batch):
        _, session = batch()
        run = session.create(f"echo out\n{FINISH}", slurm_options=["output=own-%j.txt"])
        finished(session, run)
        job = run["batch_job_id"]
        assert "out\n" in (place(session.flow, run) / f"own-{job}.txt").read_text()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["array=1-3"], "array"),
            (["wrap=true"], "wrap"),
            ("time=5", "list"),
            ([5], "slurm_options"),
        ],
    )
    def test_wrong_for_one_run(self, batch, options, said):
        """createTask says so, and nothing is created."""
        _, session = batch()
        with pytest.raises(ParameterError, match=said):
            session.create("true", slurm_options=options)
        finished(session, session.create(FINISH))
        assert len(entries(session.flow)) == 1


class TestWorkflow:
    @pytest.mark.parametrize(
        ("yaml", "said"),
        [
            ("generator: pbs\n", "pbs"),
            ("generator: sgeCoat\n", "sge"),
            ("generator: slurm\nslurm_options: [array=1-3]\n", "array"),
            ("generator: slurm\nslurm_options: time=3\n", "slurm_options"),
            ("generator: slurm\nbatch: {poll_interval: 1s}\n", "poll_interval"),
            ("generator: slurm\nbatch: {max_submitted: 0}\n", "max_submitted"),
        ],
    )
    def test_clear_errors_before_anything_is_started(self, workflow, yaml, said):
        flow = workflow()
        right = flow.path.read_text()
        flow.path.write_text(right + yaml)
        done = flow.motoko("supervise", "--detach")
        flow.path.write_text(right)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr and "Traceback" not in done.stderr
        assert flow.state() == "not running"

    @pytest.mark.parametrize("generator", ["slurm", "slurmCoat"])
    def test_launcher_generator(self, batch, cluster, generator):
        """``motoko launcher --generator`` overrides motoko.yaml."""
        flow, session = batch("--no-launchers")
        text = flow.path.read_text()
        flow.path.write_text(text.replace("generator: slurm\n", ""))
        done = flow.motoko("launcher", "--generator", generator)
        assert done.returncode == 0, done.stderr
        run = session.create(FINISH)
        finished(session, run)
        assert cluster.job(run["batch_job_id"])["state"] == "COMPLETED"

    def test_one_study_of_each_kind(self, batch):
        """Local runs and batch jobs in one workflow."""
        below = {"add": "    generator: bash\n"}
        flow, session = batch(studies=("mult", "add"), below=below)
        script = f'[ -z "$SLURM_JOB_ID" ] || touch in-slurm\n{FINISH}'
        job, local = session.create(script), session.create(script, study="add")
        finished(session, job, local)
        assert (place(flow, job) / "in-slurm").exists()
        assert not (place(flow, local, "add") / "in-slurm").exists()

    def test_max_submitted(self, batch, cluster):
        """Never more than that in the queue, over all studies; the others wait, and say so."""
        studies = ("mult", "add")
        flow, session = batch(studies=studies, settings="max_submitted: 2")
        runs = [
            session.create(f"{GATED}# {number}", study=study)
            for number in range(4)
            for study in studies
        ]

        def in_queue():
            live = cluster.jobs("PENDING,RUNNING,CONFIGURING")
            # Slurm shows a job for a moment more when its script has said that it has ended.
            found = [job for job in live if not exit_path(Path(job["directory"]), 1).exists()]
            assert len(found) <= 2 or pytest.fail(f"in the queue: {found}")
            return len(found) == 2

        wait_until(in_queue, "two are submitted")
        session.refresh()
        waiting = next(
            run for run in runs if not DocumentedEntries(run.entries).get("batch_job_id")
        )
        study = studies[runs.index(waiting) % 2]
        said = flow.motoko("explain", f"{study}.{waiting.id}").stdout
        assert "max_submitted" in said, said

        def all_executed():
            in_queue()
            places = [place(flow, run, studies[n % 2]) for n, run in enumerate(runs)]
            begun = [directory for directory in places if executions(directory)]
            for directory in begun:
                (directory / "go").touch()
            assert len(begun) == len(runs), begun
            return True

        wait_until(all_executed, "all have been executed", timeout=60)
        finished(session, *runs)

    def test_a_node_elsewhere(self, workflow, monkeypatch):
        """It reaches nothing here if it is not let in: said before anything starts."""
        top = Path(tempfile.mkdtemp(prefix="mts-", dir="/tmp"))
        far = "NodeName=far NodeAddr=192.0.2.1 Port=6818 CPUs=8 State=DOWN\n"
        other = Cluster(top, nodes=1, more=f"{far}PartitionName=far Nodes=far State=UP\n")
        try:
            other.start()
            for name, value in other.environment.items():
                monkeypatch.setenv(name, value)
            flow = workflow()
            with open(flow.path, "a") as file:
                file.write("generator: slurm\nremote: false\n")
            done = flow.motoko("supervise", "--detach")
            assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
            for words in ("192.0.2.1", "mult", "drop `remote: false`"):
                assert words in done.stderr, done.stderr
            assert flow.state() == "not running"
        finally:
            other.stop()
            shutil.rmtree(top)


def test_executing_is_here(batch):
    """Motoko and jobs share the run directory, also where its path has spaces."""
    flow, session = batch()
    run = session.create(f"pwd > here\n{FINISH}")
    executing(session, run)
    finished(session, run)
    assert (place(flow, run) / "here").read_text().strip() == str(place(flow, run))
