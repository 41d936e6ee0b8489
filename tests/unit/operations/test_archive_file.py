"""Archives are written whole, without secrets, and unpacked only as they were written."""

import hashlib
import json
import os
import socket
import stat
import zipfile

import pytest

from motoko.errors import BadArchive, ConfigError, SecretInArchive
from motoko.operations.archive_file import ABOUT, FORMAT, SUMS, About, ArchivedStudy, ArchiveWriter
from motoko.operations.unarchiving import unarchive

FILES = {
    "motoko.yaml": "task_managers: {s: }\n",
    "s/.bd/bd.zeo": "FS" * 1000,
    "s/launch.sh": "true\n",
    "motoko-archive/tables/s.csv": "id\n",
}
TID = "040d5eb760dd06ee"


def about(**changes):
    fields = {"format": FORMAT, "motoko": "1", "layout": 1, "name": "w", "workflow": "motoko.yaml"}
    studies = {"s": ArchivedStudy(TID), "t": ArchivedStudy(reason="no")}
    return About(**{**fields, "written": "now", "studies": studies, **changes})


def written(path, files=FILES, **changes):
    with open(path, "wb") as file, ArchiveWriter(file, {}) as writer:
        for name, text in files.items():
            writer.add_text(name, text)
        writer.complete(about(**changes))
    return path


def rewritten(path, change):
    """The same archive with its members, by name, as a function has changed them."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(file, directory, *words, kind=BadArchive):
    there = directory.exists()
    with pytest.raises(kind) as caught:
        unarchive(file, directory)
    for word in words:
        assert word in str(caught.value)
    assert directory.exists() == there and not (there and any(directory.iterdir()))


class TestWriting:
    def test_what_is_no_file_is_left_out(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        (tmp_path / "file").write_text("content")
        (tmp_path / "file").chmod(0o750)
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "loop").symlink_to("loop")
        with (
            socket.socket(socket.AF_UNIX) as listening,
            open(tmp_path / "zip", "wb") as file,
            ArchiveWriter(file, {}) as writer,
        ):
            listening.bind("socket")
            for name in ("file", "pipe", "socket", "gone", "loop"):
                writer.add(name, tmp_path / name)
            writer.add("followed", tmp_path / "link")
            writer.add("not followed", tmp_path / "link", follows=False)
            for name in ("a\\b", "a\nb", "\udc80", "../a", "/a"):
                writer.add(name, tmp_path / "file")
            writer.complete(about())
        assert [*writer.members] == ["file", "followed", SUMS, ABOUT]
        left = dict(writer.left_out)
        assert left["pipe"] == "it is no regular file"
        assert left["not followed"] == "it is a link to file"
        assert "socket" in left and "gone" in left and "loop" in left
        assert writer.left_out_count == len(writer.left_out) == 10
        with zipfile.ZipFile(tmp_path / "zip") as archive:
            assert archive.read("followed") == b"content"
            modes = {i.filename: stat.S_IMODE(i.external_attr >> 16) for i in archive.infolist()}
            assert modes["file"] == 0o755 and modes[SUMS] == 0o644
            assert json.loads(archive.read(ABOUT))["left_out_count"] == 10
            sums = archive.read(SUMS).decode()
        assert f"{hashlib.sha256(b'content').hexdigest()}  file\n" in sums

    def test_the_same_files_make_the_same_archive(self, tmp_path):
        one, other = written(tmp_path / "a.zip"), written(tmp_path / "b.zip")
        assert one.read_bytes() == other.read_bytes()

    @pytest.mark.parametrize("place", [0, 1, 100_000, (1 << 20) - 3, (1 << 20) - 1, 1 << 20])
    def test_a_secret_is_found_wherever_it_is(self, tmp_path, place):
        path = tmp_path / "large"
        path.write_bytes(b"x" * place + b"sesame" + b"y" * 100)
        secrets = {"sesame": "TOKEN", "a longer secret": "OTHER"}
        with open(tmp_path / "zip", "wb") as file, ArchiveWriter(file, secrets) as writer:
            with pytest.raises(SecretInArchive, match=r"large.* TOKEN") as caught:
                writer.add("large", path)
            assert "sesame" not in f"{caught.value} {caught.value.hint}"
            with pytest.raises(SecretInArchive):
                writer.add_text("run-sesame", "name")


class TestUnpacking:
    def test_only_the_workflow_is_unpacked(self, tmp_path):
        (tmp_path / "empty").mkdir()
        for directory in (tmp_path / "new" / "w", tmp_path / "empty"):
            told = unarchive(written(tmp_path / "a.zip"), directory)
            assert told.studies["s"].tid == TID
            assert sorted(path.name for path in directory.iterdir()) == ["motoko.yaml", "s"]
            assert (directory / "s" / ".bd" / "bd.zeo").read_text() == FILES["s/.bd/bd.zeo"]
            assert (directory / "s" / ".bd" / "zeo.blob").is_dir()
        refused_again = pytest.raises(ConfigError, match="not empty")
        with refused_again:
            unarchive(tmp_path / "a.zip", tmp_path / "empty")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("../out", "lead out"),
            ("/etc/out", "absolute"),
            ("s/../../out", "lead out"),
            ("motoko.yaml/below", "below 'motoko.yaml'"),
            ("extra", "does not belong there"),
        ],
    )
    def test_names_that_lead_elsewhere(self, tmp_path, name, words):
        path = rewritten(written(tmp_path / "a.zip"), lambda files: files.update({name: b"evil"}))
        refused(path, tmp_path / "w", words)
        assert not (tmp_path / "out").exists()
        # Listed with its checksum, too.
        if name != "extra":
            path = written(tmp_path / "b.zip", {**FILES, name: "evil"})
            refused(path, tmp_path / "w", words)
            assert not (tmp_path / "out").exists()

    def test_links_and_doubles(self, tmp_path):
        path = written(tmp_path / "a.zip")
        info = zipfile.ZipInfo("s/link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, "/etc")
        refused(path, tmp_path / "w", "is a link")
        path = written(tmp_path / "b.zip")
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("motoko.yaml", "evil")
        refused(path, tmp_path / "w", "there twice")

    def test_what_was_changed_or_is_missing(self, tmp_path):
        def change(name, content):
            def changed(files):
                files[name] = content
                if content is None:
                    del files[name]

            return rewritten(written(tmp_path / "a.zip"), changed)

        for name in FILES:  # also what is not unpacked
            refused(change(name, b"other"), tmp_path / "w", name, "not as it was archived")
            refused(change(name, None), tmp_path / "w", name, "is missing")
        refused(change(SUMS, b""), tmp_path / "w", SUMS)
        refused(change(SUMS, None), tmp_path / "w", SUMS)
        refused(change(ABOUT, b"{"), tmp_path / "w", ABOUT)
        refused(change(ABOUT, None), tmp_path / "w", "no archive of a workflow")
        data = bytearray(written(tmp_path / "a.zip").read_bytes())
        data[data.index(b"FSFS") if b"FSFS" in data else 150] ^= 1
        (tmp_path / "a.zip").write_bytes(data)
        refused(tmp_path / "a.zip", tmp_path / "w", "a.zip")
        (tmp_path / "a.zip").write_bytes(data[:-30])
        refused(tmp_path / "a.zip", tmp_path / "w", "no archive")

    def test_what_is_no_archive(self, tmp_path):
        (tmp_path / "text.zip").write_text("not a zip file")
        refused(tmp_path / "text.zip", tmp_path / "w", "text.zip is no archive")
        with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
            archive.writestr("readme", "hello")
        refused(tmp_path / "other.zip", tmp_path / "w", "no archive of a workflow")
        refused(tmp_path / "gone.zip", tmp_path / "w", "no such file", kind=ConfigError)
        refused(tmp_path, tmp_path / "w", "is a directory", kind=ConfigError)

    def test_later_versions(self, tmp_path):
        path = written(tmp_path / "a.zip", format=FORMAT + 1)
        refused(path, tmp_path / "w", "later version", f"format {FORMAT + 1}")
        path = written(tmp_path / "b.zip", layout=99)
        refused(path, tmp_path / "w", "later version", "layout 99")
        path = written(tmp_path / "c.zip", studies={"../s": ArchivedStudy(TID)})
        refused(path, tmp_path / "w", ABOUT)
