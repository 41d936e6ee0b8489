"""The files of a run directory."""

import os

import pytest

from motoko.runs.run_directory import RunFile, keep_output, write


class TestWrite:
    def test_bytes_and_modes(self, tmp_path):
        target = tmp_path / "with space" / "run-1"
        large = tmp_path / "large"
        large.write_bytes(b"\0\xff\r\n" * 700_000)
        files = [
            RunFile("launch.sh", b"#!/bin/bash\r\n", 0o700),
            RunFile("left/in.dat", "é".encode("latin-1"), 0o600),
            RunFile("right/in.dat", b"", 0o755),
            RunFile("mesh.bin", large, 0o444),
        ]
        parts = []
        for _ in range(2):  # also over those of an earlier attempt
            write(target, files, between=lambda: parts.append(1))
        for file in files:
            path = target / file.name
            assert path.stat().st_mode & 0o777 == file.mode
            wanted = file.content if isinstance(file.content, bytes) else large.read_bytes()
            assert path.read_bytes() == wanted
        assert len(parts) >= 6

    def test_masked(self, tmp_path):
        """The umask concerns what Motoko makes, not copies of a user's files."""
        files = [
            RunFile("launch.sh", b"", 0o777, is_masked=True),
            RunFile("doIt.py", b"", 0o664),
        ]
        before = os.umask(0o027)
        try:
            write(tmp_path, files)
        finally:
            os.umask(before)
        modes = [(tmp_path / file.name).stat().st_mode & 0o777 for file in files]
        assert modes == [0o750, 0o664]

    @pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x"])
    def test_never_elsewhere(self, tmp_path, name):
        with pytest.raises(ValueError, match="no name"):
            write(tmp_path / "run-1", [RunFile(name, b"", 0o600)])

    def test_again_makes_new_files(self, tmp_path):
        # bash reads a script while it runs: a running attempt keeps its own.
        write(tmp_path, [RunFile("launch.sh", b"old", 0o700)])
        with open(tmp_path / "launch.sh") as running:
            write(tmp_path, [RunFile("launch.sh", b"new", 0o700)])
            assert running.read() == "old"
        assert (tmp_path / "launch.sh").read_text() == "new"


class TestKeepOutput:
    def test_renamed_by_attempt(self, tmp_path):
        for kind in "oe":
            (tmp_path / f"a.{kind}3").write_text(kind)
        keep_output(tmp_path, "a", 3, 1)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.e3.1", "a.o3.1"]
        assert (tmp_path / "a.e3.1").read_text() == "e"

    def test_nothing_there(self, tmp_path):
        keep_output(tmp_path, "a", 3, 1)
        assert not list(tmp_path.iterdir())
