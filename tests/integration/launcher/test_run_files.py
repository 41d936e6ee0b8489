"""The files of run directories: each is its name, its bytes and its mode."""

import hashlib
import os
import subprocess
from pathlib import Path

import launching
import pytest
from launched_scripts import change

from motoko.host.programs import program

LARGE = 20_000_000
FILES = {
    "same.dat": (b"equal\n", 0o644),
    "as_same.dat": (b"equal\n", 0o644),
    "equal-mode.sh": (b"equal\n", 0o755),
    "secret.key": (b"x=__BLACKDYNAMITE__x__\n", 0o600),
    "left/in.dat": (b"left\n", 0o644),
    "right/in.dat": (b"right\n", 0o644),
    "sub/doIt.py": (b"another\n", 0o644),
    "sub/launch.sh": (b"another\n", 0o750),
    "latin.txt": ("µ = __BLACKDYNAMITE__x__\r\n".encode("latin-1"), 0o644),
    "crlf.txt": (b"a\r\nb\rc\n", 0o444),
    "binary.dat": (bytes(range(256)) + b"__BLACKDYNAMITE__x__ __BLACKDYNAMITE__no__", 0o644),
    "empty": (b"", 0o644),
    "mesh.bin": (b"\0\xff" * (LARGE // 2), 0o640),
    "long.txt": (b"1 2 3\n" * 100_000 + b"__BLACKDYNAMITE__x__", 0o644),
    "name with blank, é": (b"", 0o644),
}


@pytest.fixture(autouse=True)
def deadline():
    with launching.deadline(120):
        yield


def put(directory, files):
    for name, (content, mode) in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(mode)


def held(run, names):
    paths = {name: Path(run.run_path, name) for name in names}
    return {n: (path.read_bytes(), path.stat().st_mode & 0o777) for n, path in paths.items()}


def wanted(x):
    number = str(x).encode()
    return {
        name: (
            content if b"\0" in content else content.replace(b"__BLACKDYNAMITE__x__", number),
            mode,
        )
        for name, (content, mode) in FILES.items()
    }


def test_name_bytes_and_mode(flow, session):
    study = flow.directory / "mult"
    listed = [*FILES, "link.dat", "./same.dat", "doIt.py", "launch.sh", "../outside.dat"]
    change(flow, bd="config_files:\n" + "".join(f"- {name!r}\n" for name in listed))
    put(study, FILES)
    put(flow.directory, {"outside.dat": (b"outside\n", 0o644)})
    (study / "link.dat").symlink_to("left/in.dat")
    flow.create()
    flow.supervise()
    one = session()
    ((first, _),) = one.wait(one.mult.createTask(x=1.0))
    assert held(first, FILES) == wanted(1.0)
    assert Path(first.run_path, "link.dat").read_bytes() == b"left\n"
    assert not Path(first.run_path, "link.dat").is_symlink()
    assert Path(first.run_path, "outside.dat").read_bytes() == b"outside\n"

    # Large ones are kept once, by checksum, and not in the database's own file.
    kept = {path.name for path in (study / ".bd" / "files").iterdir()}
    large = {hashlib.sha256(FILES[name][0]).hexdigest() for name in ("mesh.bin", "long.txt")}
    assert kept == large
    assert (study / ".bd" / "bd.zeo").stat().st_size < LARGE / 10
    for name in ("mesh.bin", "long.txt"):
        path = study / ".bd" / "files" / hashlib.sha256(FILES[name][0]).hexdigest()
        # Whoever may read the file may read what is kept of it.
        assert path.stat().st_mode & 0o777 == 0o600 | FILES[name][1] & 0o444

    # BlackDynamite's own tools read them.
    # (Of a name they know the last part.)
    files = {file.filename: file.file for file in first.getConfigFiles()}
    names = {*FILES, "link.dat", "doIt.py", "launch.sh", "outside.dat"}
    assert files.keys() == {name.rpartition("/")[2] for name in names}
    assert len(first.configfiles) == len(names)
    assert files["secret.key"] == "x=1.0\n" and files["in.dat"] in ("left\n", "right\n")
    assert "20 MB" in files["mesh.bin"] and "python doIt.py" in first.getExecFile().file
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BLACKDYNAMITE_")}
    done = subprocess.run(
        [program("canYouDigIt"), "runs", "info", "--run_id", "1"],
        cwd=study,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "left\n" in done.stdout and "x=1.0" in done.stdout

    # Contents that are swapped, for another run name: each run has what was there.
    swapped = {**FILES, "left/in.dat": FILES["right/in.dat"], "right/in.dat": FILES["left/in.dat"]}
    put(study, swapped)
    two = session("two")
    ((second, _),) = two.wait(two.mult.createTask(x=1.0))
    assert second.id != first.id
    assert held(second, ["left/in.dat", "right/in.dat", "link.dat"]) == {
        "left/in.dat": (b"right\n", 0o644),
        "right/in.dat": (b"left\n", 0o644),
        "link.dat": (b"right\n", 0o644),
    }
    assert {path.name for path in (study / ".bd" / "files").iterdir()} == large


def test_reserved_names(flow):
    """Reserved file names are refused by name before anything is changed."""
    yaml = flow.directory / "mult" / "bd.yaml"
    before = yaml.read_text()
    change(flow, bd="config_files: [x.o3]\n")
    put(flow.directory / "mult", {"x.o3": (b"", 0o644)})
    for command in (["create", "--validated"], ["supervise", "--detach"]):
        done = flow.motoko(*command)
        assert done.returncode == 2 and "config_files: x.o3" in done.stderr, done.stderr
    yaml.write_text(before)
