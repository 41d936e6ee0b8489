"""What must not end a supervisor, and what must."""

import asyncio
import shutil

from support import write_workflow

from motoko.config import load
from motoko.control.runtime_directories import prepare, remake_sockets
from motoko.supervisor.crew import Crew
from motoko.supervisor.daemon_specs import LauncherOptions, launchers
from motoko.supervisor.listeners import Terminal
from motoko.supervisor.member import Member
from motoko.supervisor.status_changes import StatusChanges
from motoko.supervisor.table import Entry


def crew_of(config):
    return Crew(config, prepare(config), Terminal(), 10, StatusChanges())


async def others():
    """Let all tasks come to their end."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


def test_a_launcher_that_is_about_to_stop_may_be_forgotten(tmp_path):
    async def scenario():
        config = load(write_workflow(tmp_path / "wf").path)
        crew = crew_of(config)
        spec = launchers(config, LauncherOptions())[0]
        crew.members[spec.name] = Member(spec, Entry(spec.name))
        crew.members[spec.name].entry.stop()
        crew.stop([spec.name], config.supervision.stop_order, "asked for")
        crew.forget(spec.name)
        await others()
        assert not crew.failure.done()

    asyncio.run(scenario())


def test_a_dead_task_is_no_secret(tmp_path):
    async def work():
        raise ValueError("boom")

    async def scenario():
        crew = crew_of(load(write_workflow(tmp_path / "wf").path))
        crew.background(work())
        await others()
        assert str(crew.failure.exception()) == "boom"

    asyncio.run(scenario())


def test_a_directory_that_others_may_write_is_not_trusted(tmp_path):
    runtime = prepare(load(write_workflow(tmp_path / "wf").path))
    parent = runtime.sockets.parent / "parent"
    sockets = parent / "sockets"
    parent.mkdir(mode=0o700)
    try:
        assert remake_sockets(type(runtime)(runtime.directory, sockets))
        shutil.rmtree(sockets)
        parent.chmod(0o777)
        assert not remake_sockets(type(runtime)(runtime.directory, sockets))
        assert not sockets.exists()
    finally:
        shutil.rmtree(parent)
