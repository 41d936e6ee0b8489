"""How a daemon is started: what it inherits of the supervisor."""

import asyncio
import signal
import sys

import pytest
from support import write_workflow

from motoko.config import load
from motoko.control.daemon_records import remove_leftovers
from motoko.control.runtime_directories import prepare
from motoko.supervisor.child import spawn
from motoko.supervisor.daemon_specs import Spec

MASK = "import signal; print(*sorted(s.name for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())))"


@pytest.mark.parametrize(
    ("kind", "blocked"), [("launcher", "SIGUSR1 SIGUSR2"), ("watcher", ""), ("orchestrator", "")]
)
def test_signals_wait_until_a_launcher_can_act_on_them(tmp_path, kind, blocked):
    config = load(write_workflow(tmp_path / "wf").path)
    runtime = prepare(config)
    spec = Spec(kind, kind, (sys.executable, "-c", MASK))

    async def scenario():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        child = spawn(spec, runtime, config.supervision, lambda how: None)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        await asyncio.wait_for(child.ended, 30)

    asyncio.run(scenario())
    remove_leftovers(config, runtime)
    assert runtime.log(kind).read_text().strip() == blocked
