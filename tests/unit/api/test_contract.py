"""What user workflows rely on, as far as no process is needed: names, signatures, refusals."""

import asyncio
import importlib
import inspect
import warnings
from pathlib import Path

import pytest
import transaction
from support import write_workflow

import motoko
from motoko.api.run_list import RunList
from motoko.api.selection import TaskSelection, TaskSelectionEval
from motoko.cli import main as cli
from motoko.config import RESERVED_NAMES, load
from motoko.config.study_config import GIVING_WAY
from motoko.errors import ConfigError, MotokoError, RunFailed, WorkflowStopped
from motoko.store.base import open_file
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator
from motoko.task_manager import TaskManager
from motoko.workflow import Workflow, event

# By module: what can be imported from it, with its arguments as a caller may give them.
SIGNATURES = {
    "motoko.workflow": {
        "Workflow": "filename, *, read_only=False",
        "Workflow.create": "self, validated=None",
        "Workflow.start_launcher_daemons": "self, args=None",
        "Workflow.add_action": "self, event_name, task='__all__', event=None, get_params=None, "
        "f=None, *, concurrent=False",
        "Workflow.execute": "self, **params",
        "Workflow.get_runs": "self, run_list",
        "Workflow.get_orchestrator_function": "self",
        "Workflow.is_empty": "self",
        "Workflow.close": "self",
        "event": "func",
    },
    "motoko.task_manager": {
        "RunList": "runs, *, engine=None, study=None",
        "TaskSelection": "constraints, selector, base, study, *, engine=None",
        "TaskSelection.all": "self, *args",
        "TaskSelection.exec": "self",
        "TaskSelection.__call__": "self",
        "TaskSelectionEval": "func",
        "TaskManager": "workflow, study",
        "TaskManager.connect": "self",
        "TaskManager.createTask": "self, run_params=None, commit=False, **kwargs",
        "TaskManager.select": "self, constraints=None",
    },
    "motoko.bd_study": {
        "create_bd_study": "task_manager",
        "create_bd_studies": "workflow, validated=None",
    },
    "motoko.scripts.create_studies": {"main": "args"},
}
SPECIAL = {
    RunList: "__await__ __iter__ __len__ __getitem__",
    TaskSelectionEval: "__call__ __and__ __await__",
    TaskSelection: "__call__ __iter__ __len__ __bool__ __getitem__ __await__",
}


def without_types(function):
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters))[1:-1]


@pytest.mark.parametrize("module", SIGNATURES)
def test_signatures(module):
    for name, expected in SIGNATURES[module].items():
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert without_types(found) == expected, name
        if not name.endswith("__"):
            assert inspect.getdoc(found), name


def test_error_handlers_signature():
    parameters = inspect.signature(Workflow.add_error_handler).parameters
    assert list(parameters) == ["self", "event", "f", "kwargs"]
    assert parameters["event"].default == "state = FAILED"
    assert callable(parameters["f"].default)


def test_special_methods():
    for kind, names in SPECIAL.items():
        assert all(name in vars(kind) for name in names.split()), kind
    assert TaskSelection.matching_condition is None


@pytest.mark.parametrize("kind", [Workflow, TaskManager, RunList, TaskSelection, TaskSelectionEval])
def test_everything_public_is_documented(kind):
    assert inspect.getdoc(kind)
    for name, member in vars(kind).items():
        if name.startswith("_") or not (callable(member) or isinstance(member, property)):
            continue
        assert inspect.getdoc(member), f"{kind.__name__}.{name}"


def test_package_names():
    for name in motoko.__all__:
        found = getattr(motoko, name)
        assert found.__name__ == name and inspect.getdoc(found)
    with pytest.raises(AttributeError, match="nothing"):
        motoko.nothing  # noqa: B018


@pytest.fixture
def flow(tmp_path):
    flow = write_workflow(tmp_path / "wf", ("mult", "add"))
    with open(flow.path, "a") as file:
        file.write("aliases:\n  product: mult\n  vars: add\nmy_own:\n  depth: [1, 2]\n")
    return flow


@pytest.fixture
def wf(flow):
    return Workflow(flow.path)


class TestWorkflowObject:
    def test_attributes(self, flow, monkeypatch):
        monkeypatch.chdir(flow.directory.parent)
        for filename in ("wf/motoko.yaml", Path("wf/motoko.yaml"), str(flow.path)):
            workflow = Workflow(filename)
            assert workflow.config_path == str(flow.path)
            assert workflow.directory == str(flow.directory)
        assert workflow.config["my_own"] == {"depth": [1, 2]}
        assert list(workflow.task_managers) == ["mult", "add"]
        assert workflow.aliases["product"] == "mult" and workflow.product is workflow.mult
        assert workflow.orchestrator_script == "orchestrator.main"
        assert workflow.orchestrator_function is None and workflow.run_name is None
        assert workflow.finished is False and workflow.on_failure == "raise"
        assert workflow.params == {} and workflow.actions == {}

    def test_task_manager(self, flow):
        host = f"zeo://{flow.directory}/far"
        flow.path.write_text(
            flow.path.read_text().replace("  add:\n", f"  add:\n    host: {host}\n")
        )
        mult, add = Workflow(flow.path).task_managers.values()
        assert isinstance(mult, TaskManager) and mult.workflow.mult is mult
        assert (mult.study, mult.selector, mult.config) == ("mult", None, {})
        assert mult.study_dir == str(flow.directory / "mult")
        assert mult.bd_dir == str(flow.directory / "mult" / ".bd")
        assert mult.host == f"zeo://{mult.study_dir}"
        assert mult.bd_config == {"study": "mult", "job": {"x": "float"}}
        assert add.host == host and add.config == {"host": host}

    def test_no_study_can_be_hidden(self, wf):
        """Whatever the workflow has as an attribute cannot be a study's name."""
        names = {name for name in dir(wf) if not name.startswith("_")}
        assert names == RESERVED_NAMES | GIVING_WAY

    @pytest.mark.parametrize("kind", ["study", "alias"])
    def test_what_0_1_4_did_not_have_gives_way(self, tmp_path, kind):
        """A workflow of old may have a study of that name."""
        flow = write_workflow(tmp_path / "wf", ("close",) if kind == "study" else ("mult",))
        if kind == "alias":
            flow.path.write_text(flow.path.read_text() + "aliases:\n  close: mult\n")
        with Workflow(flow.path) as workflow:
            study = flow.studies[0]
            assert workflow.close is workflow.task_managers[study]
        (warning,) = load(flow.path).warnings
        assert "workflow.close()" in warning

    def test_close(self, wf):
        with wf as same:
            assert same is wf
        wf.close()
        wf.close()
        assert wf.mult.study == "mult"

    def test_no_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"nowhere/motoko\.yaml"):
            Workflow(tmp_path / "nowhere" / "motoko.yaml")

    @pytest.mark.parametrize("value", ["ignore", "Wait", "", None, True])
    def test_on_failure_is_checked_when_it_is_set(self, wf, value):
        wf.on_failure = "wait"
        with pytest.raises(MotokoError) as caught:
            wf.on_failure = value
        assert repr(value) in str(caught.value) and '"raise" or "wait"' in caught.value.hint
        assert wf.on_failure == "wait"

    @pytest.mark.parametrize("uri", ["mult", "mult.", ".1", "mult.one", "mult.-1", ""])
    def test_get_runs_of_what_names_no_run(self, wf, uri):
        with pytest.raises(MotokoError, match="names no run") as caught:
            wf.get_runs([uri])
        assert caught.value.hint

    def test_get_runs_of_an_attribute(self, wf):
        with pytest.raises(AttributeError, match="mult, add"):
            wf.get_runs(["config.1"])


class TestRegistering:
    def test_is_kept(self, wf):
        def action(**params): ...

        wf.add_action("a", "mult", "state = FINISHED", dict, action)
        wf.add_action("b", f=action, event=["x = 1"])
        assert wf.actions == {
            "mult": {"a": ("state = FINISHED", action, dict)},
            "__all__": {"b": (["x = 1"], action, None)},
        }
        wf.add_error_handler(f=action)
        assert list(wf.actions) == ["mult", "__all__"], "error handlers are no actions"

    @pytest.mark.parametrize("register", ["add_action", "add_error_handler"])
    @pytest.mark.parametrize("task", ["nothing", "config", "run_name", ""])
    def test_task_that_is_none(self, wf, register, task):
        with pytest.raises(AttributeError, match="mult, add"):
            if register == "add_action":
                wf.add_action("a", task=task, event="state = FAILED", f=print)
            else:
                wf.add_error_handler("state = FAILED", f=print, task=task)
        assert wf.actions == {}

    @pytest.mark.parametrize("alias", ["product", "vars"])
    def test_task_by_alias(self, wf, alias):
        """Also by one that an attribute of the workflow hides."""
        wf.add_action("a", task=alias, event="state = FINISHED", f=print)
        (action,) = wf._reactions.in_order()
        assert [manager.study for manager in action.managers] == [
            {"product": "mult", "vars": "add"}[alias]
        ]

    def test_generators(self, wf):
        def generator(**params):
            yield

        async def async_generator(**params):
            yield

        for bad in (generator, async_generator, event(generator), event(async_generator)):
            with pytest.raises(MotokoError, match="generator"):
                wf.add_action("bad", event="x = 1", f=bad)
            with pytest.raises(MotokoError, match="generator"):
                wf.add_error_handler(f=bad)

    def test_async_condition(self, wf):
        """Its result would be a coroutine, which is always true."""

        async def condition(): ...

        async def of_a_run(run, job): ...

        for bad in (condition, of_a_run):
            with pytest.raises(MotokoError, match=r"'bad'.*async") as caught:
                wf.add_action("bad", event=bad, f=print)
            assert caught.value.hint
        assert wf.actions == {}


class TestOrchestratorFunction:
    def test_loaded_once_or_replaced(self, flow):
        with open(flow.directory / "orchestrator.py", "a") as file:
            file.write("import beside\n")
        (flow.directory / "beside.py").write_text("")
        workflow = Workflow(flow.path)
        function = workflow.get_orchestrator_function()
        assert function.__name__ == "main" and inspect.iscoroutinefunction(function)
        assert workflow.get_orchestrator_function() is workflow.orchestrator_function is function
        workflow.orchestrator_function = print
        assert workflow.get_orchestrator_function() is print

    def test_errors(self, flow):
        text = flow.path.read_text()
        for reference, word in (("orchestrator.mian", "'mian'"), ("nowhere.main", "nowhere.py")):
            flow.path.write_text(text.replace("orchestrator.main", reference))
            with pytest.raises(ConfigError, match=word) as caught:
                Workflow(flow.path).get_orchestrator_function()
            assert caught.value.hint

    def test_what_the_module_raises(self, flow):
        (flow.directory / "orchestrator.py").write_text("raise LookupError('mine')\n")
        with pytest.raises(LookupError, match="mine"):
            Workflow(flow.path).get_orchestrator_function()

    def test_execute_where_a_loop_runs(self, wf, flow):
        """In a notebook, for instance: said before anything is started."""

        async def main():
            wf.execute()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(MotokoError, match="event loop") as caught:
                asyncio.run(main())
        assert "await" in caught.value.hint
        assert not (flow.directory / ".wf").exists()


class TestConditions:
    def test_what_is_given(self):
        def func():
            return [1]

        condition = TaskSelectionEval(func)
        assert condition.func is func and condition() == [1]
        assert (condition & func)() == [1, 1]
        assert (condition & (lambda: []))() is False


def test_creating_reads_only_the_runs_of_that_job(tmp_path):
    """Creating reads the runs of the job, however many others there are."""
    flow = write_workflow(tmp_path / "wf")
    study = load(flow.path).studies["mult"]
    create_study(study)
    run = {"machine_name": "localhost", "nproc": 1, "run_name": "r"}

    def create(base, values):
        found = TaskCreator(base).create(
            [{"x": value} for value in values],
            run,
            identity=run,
        )
        transaction.commit()
        return found

    def cost_of_one_more(before, value):
        base = open_file(study)
        try:
            create(base, before)
        finally:
            base.close()
        base = open_file(study)
        try:
            ((_, job),) = create(base, [value])
            assert job.x == value
            loads, _ = base.connection.getTransferCounts()
            return loads
        finally:
            base.close()

    few = cost_of_one_more([float(n) for n in range(20)], 0.5)
    many = cost_of_one_more([1000.0 + n for n in range(600)], 1.5)
    # The trees grow in depth, and that is all: all runs would be 600 records and more.
    assert many < few + 30, (few, many)


def failed(number):
    return RunFailed("mult", number, "FAILED", "why", hint=f"retry {number}")


class TestErrorsOfTaskGroups:
    def ended_with(self, monkeypatch, error):
        def raises(*args, **kwargs):
            raise error

        monkeypatch.setattr(cli.cli, "main", raises)
        return cli._run([], cli.Options())

    def test_as_single_ones(self, monkeypatch, capsys):
        error = ExceptionGroup("g", [failed(1), ExceptionGroup("h", [failed(2), failed(1)])])
        assert self.ended_with(monkeypatch, error) == 1
        assert capsys.readouterr().err.splitlines() == [
            "motoko: error: run mult.1 is FAILED: why [run-failed]",
            "hint: retry 1",
            "motoko: error: run mult.2 is FAILED: why [run-failed]",
            "hint: retry 2",
        ]

    def test_exit_code(self, monkeypatch):
        stopped = [WorkflowStopped("stopped"), WorkflowStopped("stopped")]
        assert self.ended_with(monkeypatch, ExceptionGroup("g", stopped)) == 4

    def test_with_a_bug_among_them(self, monkeypatch):
        error = ExceptionGroup("g", [failed(1), ValueError("mine")])
        with pytest.raises(ExceptionGroup) as caught:
            self.ended_with(monkeypatch, error)
        assert caught.value is error


def test_an_edited_orchestrator_is_loaded_again(tmp_path):
    """An edited module is loaded again, as notebooks need; an unchanged one is not."""
    flow = write_workflow(tmp_path / "wf")
    script = flow.directory / "orchestrator.py"
    script.write_text("import random\nnumber = random.random()\nasync def main(workflow): ...\n")
    first = Workflow(flow.path).get_orchestrator_function()
    assert Workflow(flow.path).get_orchestrator_function() is first
    script.write_text("async def main(workflow, more=1): ...\n")
    second = Workflow(flow.path).get_orchestrator_function()
    assert second is not first and second.__defaults__ == (1,)
