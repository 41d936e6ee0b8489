"""What machines do to workflows: pids used again, full disks, lost sockets, clocks set back."""

import contextlib
import shutil
import subprocess

import pytest
from bad_machines import another, daemon_of, is_ready, kill9, nothing_runs
from runs import make_runs, states
from support import wait_until


def read_only(mounted, directory):
    """Nobody can write there from now on; files that are open stay so."""
    mounted(directory, "--bind", str(directory))
    subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)


def fill(directory):
    """Leave no byte; returns the file that takes them. May be repeated."""
    path = directory / "full"
    with open(path, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return path


class TestDisk:
    @pytest.fixture
    def small(self, mounted, tmp_path, workflow):
        """A workflow on a disk of its own, which is supervised."""
        flow = workflow(created=False)
        place = tmp_path / "disk"
        mounted(place, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
        shutil.copytree(flow.directory, place, dirs_exist_ok=True)
        shutil.rmtree(flow.directory)
        flow.directory.symlink_to(place)
        flow.create()
        flow.supervise()
        yield flow
        # Before it is unmounted.
        (place / "full").unlink(missing_ok=True)
        assert flow.motoko("kill").returncode == 0

    def test_it_is_full(self, small):
        """Who lives goes on; who dies comes back as soon as there is room, or is given up."""
        make_runs(small, {"state": "FINISHED"})
        before = small.pids()
        path = fill(small.directory)
        pid = kill9(small, "launcher:mult")

        def tried():
            fill(small.directory)  # what others have given back meanwhile
            daemon = daemon_of(small, "launcher:mult")
            assert daemon["restarts"] >= 2, daemon
            return daemon

        # It cannot even note who it is. The supervisor, which has nowhere to write, says why.
        daemon = wait_until(tried, "it has tried")
        assert "No space left on device" in daemon["last_exit"]
        shown = small.motoko("ps")
        assert shown.returncode == 1 and ".wf cannot be written: No space left" in shown.stdout
        path.unlink()
        assert small.motoko("supervise", "--detach").returncode == 0
        another(small, "launcher:mult", pid)
        others = {name: pid for name, pid in small.pids().items() if name != "launcher:mult"}
        assert others.items() <= before.items()
        assert states(small) == {1: "FINISHED"}
        make_runs(small, {}, {})
        wait_until(lambda: states(small)[2] == "FINISHED", "another is executed")

    def test_it_is_full_when_all_is_stopped_and_started(self, small):
        """`motoko kill` works; `motoko supervise` says why it does not."""
        path = fill(small.directory)
        assert small.motoko("kill").returncode == 0
        nothing_runs(small)
        fill(small.directory)  # what was removed has left some room
        for options in ([], ["--detach"]):
            done = small.motoko("supervise", *options)
            assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
            assert ".wf: No space left on device" in done.stderr and "hint: " in done.stderr
        path.unlink()
        small.supervise()

    def test_wf_cannot_be_written(self, mounted, flow):
        """Nothing is started; what runs goes on, and can be stopped."""
        wf = flow.directory / ".wf"
        flow.supervise()
        before = flow.pids()
        read_only(mounted, wf)
        kill9(flow, "watcher")
        daemon = wait_until(
            lambda: (d := daemon_of(flow, "watcher"))["state"] == "backoff" and d, "it is tried"
        )
        assert "Read-only file system" in daemon["last_exit"]
        assert "Read-only file system" in flow.motoko("ps").stdout
        mounted.undo(wf)
        is_ready(flow)
        assert {**before, "watcher": 0} == {**flow.pids(), "watcher": 0}
        read_only(mounted, wf)
        done = flow.motoko("kill")
        assert (done.returncode, done.stderr) == (0, "")
        nothing_runs(flow)
        for options in ([], ["--detach"]):
            done = flow.motoko("supervise", *options)
            assert done.returncode == 1, done.stdout
            assert "cannot write into" in done.stderr and "Read-only file system" in done.stderr
            assert "hint: make the workflow's directory writable" in done.stderr
        nothing_runs(flow)
        mounted.undo(wf)
        flow.supervise()

    def test_a_study_cannot_be_written(self, mounted, workflow):
        """The message says so; the other study is served."""
        flow = workflow(studies=("add", "mult"))
        flow.path.write_text(flow.path.read_text() + "supervisor: {attempts: 3}\n")
        read_only(mounted, flow.directory / "mult")
        done = flow.motoko("supervise", "--detach")
        assert done.returncode == 1 and "zeo:mult given up" in done.stderr
        assert "Read-only file system" in done.stderr
        found = flow.daemons()
        ready = {name for name, daemon in found.items() if daemon["state"] == "ready"}
        assert ready >= {"zeo:add", "bus"} and found["zeo:mult"]["restarts"] == 3
        mounted.undo(flow.directory / "mult")
        flow.supervise()
