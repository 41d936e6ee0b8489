"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio
import sys

import pytest
from executing import execute

from motoko import (
    MotokoError,
)


class TestExecute:
    """The table of CONTRACT.md, row by row."""

    def act(self, wf, f, event=lambda: True):
        wf.add_action("act", task="mult", event=event, f=f)

    def test_finished(self, wf, other):
        async def main(workflow, **params):
            ((run, _),) = workflow.mult.createTask(x=130.0)
            run["note"] = "pending"
            self.act(workflow, lambda **kwargs: None)
            workflow.finished = True
            assert workflow.finished

        execute(wf, main)
        ((run, _),) = other.mult.select()
        assert run.note == "pending"

    def test_main_returns_without_actions(self, wf, other):
        async def main(workflow, **params):
            workflow.mult.createTask(x=131.0)

        execute(wf, main)
        assert len(other.mult.select()) == 1

    def test_main_returns_with_actions(self, wf):
        calls = []

        def handler(workflow, **params):
            calls.append(1)
            workflow.finished = len(calls) == 2

        async def main(workflow, **params):
            self.act(workflow, handler)

        execute(wf, main)
        assert len(calls) == 2

    def test_main_raises(self, wf):
        async def main(workflow, **params):
            self.act(workflow, lambda **kwargs: None)
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            execute(wf, main)

    def test_a_handler_raises(self, wf):
        cancelled = []

        def handler(**params):
            raise ValueError("mine")

        async def main(workflow, **params):
            self.act(workflow, handler)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        with pytest.raises(ValueError, match="mine"):
            execute(wf, main)
        assert cancelled == [1]

    @pytest.mark.parametrize("where", ["main", "handler", "error_handler"])
    def test_sys_exit(self, wf, where, puppet):
        def leave(**params):
            sys.exit(5)

        async def main(workflow, **params):
            if where == "main":
                sys.exit(5)
            if where == "handler":
                self.act(workflow, leave)
            else:
                workflow.add_error_handler(f=leave)
                ((run, _),) = workflow.mult.createTask(x=132.0)
                await asyncio.sleep(0)
                await puppet.later("mult", run.id, "FAILED")
            await asyncio.Event().wait()

        with pytest.raises(SystemExit) as caught:
            execute(wf, main)
        assert caught.value.code == 5

    def test_finished_while_main_awaits(self, wf):
        log = []

        def handler(workflow, **params):
            workflow.finished = True

        async def main(workflow, **params):
            self.act(workflow, handler)
            try:
                await workflow.mult.createTask(x=133.0)
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        execute(wf, main)
        assert log == ["cancelled"]

    def test_parameters(self, wf):
        got = {}

        async def main(workflow, **params):
            got.update(params)

        execute(wf, main, alpha=1, run_name="r")
        assert got == {"alpha": 1, "run_name": "r"} and wf.params == got

    def test_replaced_orchestrator_function(self, wf, monkeypatch):
        calls = []

        async def mine(workflow, **params):
            calls.append(workflow)

        monkeypatch.setattr(wf, "get_orchestrator_function", lambda: mine)
        wf.execute()
        assert calls == [wf]

    def test_main_that_is_not_async(self, wf):
        with pytest.raises(MotokoError, match="async"):
            execute(wf, lambda workflow, **params: None)

    def test_twice(self, wf):
        calls = []

        async def main(workflow, **params):
            calls.append(1)

        execute(wf, main)
        execute(wf, main)
        assert calls == [1, 1]


MAINS = {
    "returns": ("pass", 0, ""),
    "finished": ("workflow.finished = True", 0, ""),
    "raises": ("raise ValueError('mine')", 1, "mine"),
    "exits": ("sys.exit(7)", 7, ""),
    "handler raises": ("workflow.add_action('a', event=lambda: True, f=bad)", 1, "mine"),
    "handler exits": ("workflow.add_action('a', event=lambda: True, f=leave)", 7, ""),
    "constraint": ("list(workflow.mult.select('nonsense'))", 2, "hint: "),
    "parameter": ("workflow.mult.createTask(q=1)", 2, "'q'"),
    "helper": ("import helper; sys.exit(helper.CODE)", 9, ""),
    "options": ("sys.exit(params['run_name'] == 'cli' and params['code'])", 11, ""),
    "no launcher": (
        "import asyncio; await asyncio.wait_for(workflow.mult.createTask(x=151.0), 0.1)",
        1,
        "motoko launcher",
    ),
}


@pytest.mark.parametrize("case", MAINS)
def test_command_line(flow, case):
    body, code, words = MAINS[case]
    text = "import sys\n\n\n"
    if case == "options":
        text += (
            "def populate_arg_parser(parser):\n    parser.add_argument('--code', type=int)\n\n\n"
        )
    text += "def bad(**params):\n    raise ValueError('mine')\n\n\n"
    text += "def leave(**params):\n    sys.exit(7)\n\n\n"
    text += f"async def main(workflow, **params):\n    {body}\n"
    file = flow.directory / "orchestrator.py"
    before = file.read_text()
    (flow.directory / "helper.py").write_text("CODE = 9\n")
    file.write_text(text)
    options = ["--code", "11"] if case == "options" else []
    try:
        done = flow.motoko("orchestrator", "start", "--run_name", "cli", *options)
    finally:
        file.write_text(before)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == (code == 1), done.stderr
