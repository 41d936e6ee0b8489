"""Options of batch jobs: how they may be written, and which of several counts."""

import pytest

from motoko.batch.batch_system import WrongOption
from motoko.batch.job_names import Names, attempt_of, of_element, parts
from motoko.batch.slurm.options import arguments, directives, job_options, merge, of_job, read
from motoko.config.decoding import WrongValue
from motoko.config.policy import Policy


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["time=5"], {"time": "5"}),
        (["--time=5", "--mem=1G"], {"time": "5", "mem": "1G"}),
        (["-t 5", "-p debug"], {"time": "5", "partition": "debug"}),
        (["-t5", "-N=2", "n 4"], {"time": "5", "nodes": "2", "ntasks": "4"}),
        (["exclusive", "--requeue"], {"exclusive": None, "requeue": None}),
        (["--time 1:00 --exclusive -p a,b"],
         {"time": "1:00", "exclusive": None, "partition": "a,b"}),
        (["--comment='two words'"], {"comment": "two words"}),
        (["time=5", "-t 6"], {"time": "6"}),
        (["requeue", "no-requeue"], {"no-requeue": None}),
        ([], {}),
    ],
)  # fmt: skip
def test_read(items, expected):
    assert read(items) == expected


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("", "no option"), ("   ", "no option"), ("x" * 2000, "no option"), ("a\nb", "no option"),
        ("-z 3", "no option of sbatch"), ("--=3", "no option"), ("--Time=3", "no option"),
        ("array=1-3", "a task for each element"), ("-a 1-3", "a task for each element"),
        ("wrap=ls", "launch.sh"),
        ("-M other", "default cluster"), ("wait", "launcher"), ("time='5", "quotation"),
    ],
)  # fmt: skip
def test_refused(item, said):
    with pytest.raises(WrongOption, match=said):
        read([item])


def test_directives_as_slurm_reads_them():
    script = """\
#!/bin/bash
export NAME=value is one of ours
#SBATCH --time=9
"""
    assert directives(script) == {}
    script = """\
#!/bin/bash
#SBATCH --time=5 -p main   # in the day
# a comment

#SBATCH\t--mem=1G
#SBATCHing is another word
 #SBATCH --nodes=2
##SBATCH --nodes=3
#SBATCH --time=6
python doIt.py
#SBATCH --time=7
"""
    assert directives(script) == {"time": "6", "partition": "main", "mem": "1G"}


def test_merge_changes_neither():
    one, two = {"time": "1", "requeue": None}, {"time": "2", "no-requeue": None}
    assert merge(one, two) == {"time": "2", "no-requeue": None}
    assert (one, two) == ({"time": "1", "requeue": None}, {"time": "2", "no-requeue": None})
    assert arguments({"time": "1", "exclusive": None}) == ["--time=1", "--exclusive"]


def test_the_later_wins():
    """launch.sh < workflow < study < run, by the option's name, however that is written."""
    workflow = Policy().changed({"slurm_options": ["time=1", "mem=1G", "account=a"]})
    study = workflow.changed({"slurm_options": ["-t 2", "partition=p"], "modules": ["gcc"]})
    run = study.changed({"slurm_options": ["--time=3"]})
    assert run.modules == ("gcc",)
    script = "#SBATCH -t 9 --qos=q --job-name=mine --chdir=/\n"
    assert of_job(script, run.options_for("slurm"), run.nproc) == {
        **{"no-requeue": None, "time": "3", "qos": "q"},
        **{"mem": "1G", "account": "a", "partition": "p"},
    }


RIVALS = [
    ("mem=1G", "mem-per-cpu=2G"), ("mem-per-cpu=1G", "mem-per-gpu=2G"), ("mem-per-gpu=1", "mem=2G"),
    ("exclusive", "oversubscribe"), ("--share", "--exclusive=user"), ("-s", "exclusive"),
    ("cpus-per-gpu=2", "-c 4"), ("ntasks-per-gpu=1", "gpus-per-task=1"),
    ("gpus-per-socket=1", "ntasks-per-gpu=2"), ("core-spec=1", "thread-spec=2"),
    ("hint=nomultithread", "threads-per-core=2"), ("spread-job", "use-min-nodes"),
    ("requeue", "no-requeue"),
]  # fmt: skip


@pytest.mark.parametrize(("earlier", "later"), [*RIVALS, *((b, a) for a, b in RIVALS)])
def test_the_later_replaces_its_rivals(earlier, later):
    """Of another level, in one list, in one item, in launch.sh."""
    only = read([later])
    assert merge(read([earlier, "time=1"]), only) == {"time": "1", **only}
    assert read([earlier, later]) == only
    words = [each if each.startswith("-") else f"--{each}" for each in (earlier, later)]
    assert read([" ".join(words)]) == only
    assert directives("".join(f"#SBATCH {word}\n" for word in words)) == only
    assert of_job(f"#SBATCH {words[0]}\n", only, 1).keys() - {"no-requeue"} <= only.keys()


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("ntasks=4", "nodes=2 --ntasks-per-node=8"), ("ntasks-per-node=8", "-n 4"),
        ("ntasks-per-socket=2", "ntasks=4"), ("ntasks=4 --ntasks-per-node=2", "ntasks-per-gpu=1"),
    ],
)  # fmt: skip
def test_the_number_of_tasks_is_said_as_a_whole(earlier, later):
    """Another level's number of tasks is replaced; parts of one level are kept together."""
    assert merge(read([earlier, "time=1"]), read([later])) == {"time": "1", **read([later])}
    assert read(["ntasks=8", "ntasks-per-node=4"]) == {"ntasks": "8", "ntasks-per-node": "4"}
    assert "ntasks" not in of_job("", read(["ntasks-per-gpu=1"]), 4)


def test_nproc_is_the_number_of_tasks_unless_a_size_is_given():
    assert of_job("", {}, 4)["ntasks"] == "4"
    assert "ntasks" not in of_job("#SBATCH -N 2\n", {}, 4)
    assert "ntasks" not in of_job("", {}, 1)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"slurm_options": "time=5"}, "slurm_options"),
        ({"slurm_options": ["time=5", 4]}, "slurm_options[1]"),
        ({"slurm_options": ["array=1"]}, "slurm_options"),
        ({"modules": "gcc"}, "modules"),
        ({"modules": ["gcc; rm -rf /"]}, "modules"),
        ({"modules": ["-f"]}, "modules"),
    ],
)
def test_wrong_policies(values, name):
    with pytest.raises(WrongValue) as caught:
        Policy().changed(values)
    assert caught.value.name == name


def test_names(tmp_path):
    names, others = Names(tmp_path / "motoko.yaml"), Names(tmp_path / "b" / "motoko.yaml")
    first, second = names.new("a" * 300, 7, 1), names.new("a" * 300, 7, 1)
    assert first != second and len(first) < 100
    assert names.are_ours(first) and not others.are_ours(first)
    assert not names.are_ours("foo") and not names.are_ours(f"{first}x")


def test_names_in_arrays(tmp_path):
    """The names of an array's elements follow from its own; no name comes twice."""
    names = Names(tmp_path / "motoko.yaml")
    first, later = names.new("a.b", 7, 1), names.new("a.b", 19, 1)
    assert of_element(first, 0) == first and of_element(first, 12) == later
    assert names.are_ours(later) and parts(later)[1] == 19
    again = names.new("a.b", 7, 1)
    assert of_element(again, 12) not in (later, names.new("a.b", 19, 2))
    assert of_element("another's", 3) == "another's"
    assert attempt_of(names.fresh("a.5-b", 7, 12)) == 12 and attempt_of("another's.3-5") == 1


@pytest.mark.parametrize(
    ("options", "is_alone"),
    [
        (["time=5"], False), (["output=a"], True), (["-e", "b"], True), (["input=c"], True),
        (["dependency=singleton"], True), (["dependency=afterok:7"], False),
    ],
)  # fmt: skip
def test_who_is_in_no_array(options, is_alone):
    assert job_options("", read([" ".join(options)]), 1).is_alone is is_alone


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["time=30"], 1800), (["-t", "1:30"], 90), (["time=2:00:00"], 7200),
        (["time=1-12"], 129600), (["time=UNLIMITED"], None), (["time=0"], None), ([], None),
    ],
)  # fmt: skip
def test_the_time_that_a_job_may_take(options, expected):
    script = f"#SBATCH {' '.join(f'--{option}' if '=' in option else option for option in options)}"
    assert job_options(f"#!/bin/sh\n{script}\n", {}, 1).limit == expected
