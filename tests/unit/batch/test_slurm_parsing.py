"""What Slurm's commands print. The texts are those of Slurm 22.05."""

import pytest

from motoko.batch.batch_system import ArrayLimits, Phase
from motoko.batch.slurm import parsing


def test_query():
    text = (
        "12|PENDING|Resources||a.1.1-x\n"
        "13_4|RUNNING|None|n[1-2]|name|with bars\n"
        "14|COMPLETED|None|n1|a.3.1-x\n"
        "15|PENDING|launch failed requeued held||a.4.1-x\n"
        "no line of ours\n"
    )
    one, two, three, four = parsing.jobs_of_query(text)
    assert (one.id, one.phase, one.state_shown, one.nodes) == (
        *("12", Phase.PENDING, "PENDING (Resources)", ""),
    )
    assert (two.id, two.name, two.phase, two.nodes) == (
        *("13_4", "name|with bars", Phase.RUNNING, "n[1-2]"),
    )
    assert (three.phase, three.problem, three.final) == (Phase.ENDED, "", False)
    assert (four.phase, four.reason) == (Phase.PENDING, "launch failed requeued held")


@pytest.mark.parametrize(
    ("state", "phase", "final"),
    [
        ("CANCELLED", Phase.ENDED, True), ("TIMEOUT", Phase.ENDED, False),
        ("NODE_FAIL", Phase.ENDED, False), ("OUT_OF_MEMORY", Phase.ENDED, False),
        ("PREEMPTED", Phase.ENDED, False), ("CANCELLED+", Phase.ENDED, True),
        ("COMPLETING", Phase.RUNNING, False), ("REQUEUE_HOLD", Phase.PENDING, False),
        ("SOMETHING_NEW", Phase.RUNNING, False), ("", Phase.RUNNING, False),
    ],
)  # fmt: skip
def test_states(state, phase, final):
    """Each end is recognised; an unknown state is not taken for an end."""
    job = parsing.job("1", "name", state, "None", "")
    assert (job.phase, job.final) == (phase, final)
    assert bool(job.problem) == (phase is Phase.ENDED)
    assert state.rstrip("+") in job.problem or phase is not Phase.ENDED


def test_hopeless():
    job = parsing.job("1", "name", "PENDING", "DependencyNeverSatisfied", "")
    assert "DependencyNeverSatisfied" in job.hopeless
    assert not parsing.job("1", "name", "PENDING", "Dependency", "").hopeless


def test_accounting():
    done, cancelled = parsing.jobs_of_accounting("7|COMPLETED|n1|a\n8|CANCELLED by 0|n1|b c\n")
    assert (done.state, cancelled.state, cancelled.name) == ("COMPLETED", "CANCELLED", "b c")


def test_controller():
    text = (
        "JobId=8 JobName=a.1.1-x UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 Nice=0 "
        "Account=(null) QOS=(null) JobState=TIMEOUT Reason=TimeLimit Dependency=(null) Requeue=0 "
        "ReqNodeList=(null) ExcNodeList=(null) NodeList=n1 BatchHost=n1 NumNodes=1 "
        "Command=/a b/c JobState=no\n\n"
    )
    (job,) = parsing.jobs_of_controller(text)
    assert (job.id, job.name, job.state, job.reason, job.nodes) == (
        *("8", "a.1.1-x", "TIMEOUT", "TimeLimit", "n1"),
    )


NAME = "a.{}.1-0123456789abcdef0123"


class TestArrays:
    def test_elements_have_names_of_their_own(self):
        text = f"17_0|PENDING|None||{NAME.format(40)}\n17_12|RUNNING|None|n1|{NAME.format(40)}\n"
        assert [(job.id, job.name) for job in parsing.jobs_of_query(text)] == [
            *(("17_0", NAME.format(40)), ("17_12", NAME.format(52)))
        ]

    def test_several_in_one_line(self):
        """As accounting and the controller tell of those that have not started."""
        told = parsing.jobs_of_accounting(f"17_[0-1,5-9:2%3]|CANCELLED by 0||{NAME.format(40)}\n")
        assert [job.id for job in told] == ["17_0", "17_1", "17_5", "17_7", "17_9"]
        assert told[-1].name == NAME.format(49) and told[-1].final
        text = (
            f"JobId=17 ArrayJobId=17 ArrayTaskId=3,8-9%2 JobName={NAME.format(1)} JobState=PENDING"
        )
        assert [job.id for job in parsing.jobs_of_controller(text)] == ["17_3", "17_8", "17_9"]
        text = f"JobId=21 ArrayJobId=17 ArrayTaskId=4 JobName={NAME.format(1)} JobState=RUNNING"
        (one,) = parsing.jobs_of_controller(text)
        assert (one.id, one.name) == ("17_4", NAME.format(5))

    def test_dropped(self):
        """An element alone is never lost; what is no element, or of another array, may be."""
        others = parsing.jobs_of_query(f"17_3|PENDING|None||{NAME.format(40)}\n")
        job = parsing.dropped("17_1", others)
        assert job is not None and (job.name, job.final) == (NAME.format(41), True)
        assert job.phase is Phase.ENDED and job.if_unstarted
        assert parsing.dropped("1_1", others) is parsing.dropped("17", others) is None

    @pytest.mark.parametrize(
        ("elements", "text"),
        [([0], "0"), ([0, 1, 2], "0-2"), ([0, 2, 3, 9], "0,2-3,9")],
    )
    def test_indices(self, elements, text):
        assert parsing.indices(elements) == text

    def test_limits(self):
        text = "MaxArraySize            = 1001\nMaxJobCount             = 10000\n"
        assert parsing.array_limits(text) == ArrayLimits(1001, 1001)
        fewer = f"{text}SchedulerParameters     = bf_interval=1,max_array_tasks=50\n"
        assert parsing.array_limits(fewer) == ArrayLimits(1001, 50)
        assert parsing.array_limits("") == ArrayLimits(0, 0)

    @pytest.mark.parametrize(
        ("setting", "expected"),
        [
            ("associations,limits,qos", True),
            ("safe", True),
            ("associations", False),
            ("none", False),
        ],
    )
    def test_limits_of_users(self, setting, expected):
        text = f"AccountingStorageEnforce = {setting}\nAccountingStorageHost = limits\n"
        assert parsing.enforces_limits(text) is expected

    def test_only_those_of_this_cluster(self):
        text = "ControlMachine = ClusterName\nClusterName             = motoko\n"
        assert parsing.cluster(text) == ["cluster=motoko"] and not parsing.cluster("")

    @pytest.mark.parametrize(
        ("text", "expected"), [("50\n200\n", 200), ("50\n\n", None), ("", None), ("no\n", None)]
    )
    def test_jobs_of_a_user(self, text, expected):
        assert parsing.most_submitted(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("17\n", "17"), ("17;cluster\n", "17"), ("a warning\n17\n", "17"), ("", None), ("no\n", None)],
)
def test_submitted(text, expected):
    assert parsing.submitted(text) == expected


@pytest.mark.parametrize(
    ("stderr", "refused", "full"),
    [
        ("sbatch: error: Batch job submission failed: Invalid partition name specified",
         True, False),
        ("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job", True, False),
        ("sbatch: unrecognized option '--nonsense'\nTry \"sbatch --help\"", True, False),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect "
         "failure)", False, False),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
         False, False),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
         "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
         True, True),
        ("sbatch: error: _establish_config_source: failed to fetch config\nsbatch: fatal: Could "
         "not establish a configuration source", False, False),
        ("sbatch: error: ClusterName needs to be specified\nsbatch: fatal: Unable to process "
         "configuration file", False, False),
        ('sbatch: error: slurm_set_addr: Unable to resolve "head"\nsbatch: error: Unable to '
         "establish control machine address\nsbatch: error: Batch job submission failed: No error",
         False, False),
        ("", False, False),
    ],
)  # fmt: skip
def test_refusals(stderr, refused, full):
    assert (parsing.is_refusal(stderr), parsing.is_full(stderr)) == (refused, full)


def test_last_words():
    output = (
        "hello\n"
        "slurmstepd-n1: error: StepId=4.batch exceeded memory limit (43 > 10), being killed\n"
        "slurmstepd-n1: error: *** JOB 4 ON n1 CANCELLED AT 2026-11-24T13:04:35 ***\n"
        "slurmstepd: error: Exceeded job memory limit\n"
        "bye\n"
    )
    assert parsing.last_words(output) == "Exceeded job memory limit"
    assert parsing.last_words("slurmstepd: error: *** JOB 4 ON n1 CANCELLED ***\nbye\n") == ""


def test_words():
    text = "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job\n\n"
    text += "sbatch: error: Batch job\n"
    assert parsing.words(text) == "invalid partition specified: x; Batch job"


def test_memory():
    text = "17|\n17.batch|1200K\n17.0|2.5M\n17.extern|0\n18_3|\n18_3.batch|512\n19.batch|\n20|x\n"
    assert parsing.memory_of_accounting(text) == {"17": 2_621_440, "18_3": 512}
