"""`remote:` of motoko.yaml, and ports that clash."""

import pytest
from support import write_workflow

from motoko.config import config_changes, load, snapshot
from motoko.config.remote import Remote
from motoko.errors import ConfigError


@pytest.fixture
def loaded(tmp_path):
    """Loads a workflow with some text at its end, and settings of its studies."""
    flow = write_workflow(tmp_path / "wf", ("add", "mult"))
    text = flow.path.read_text()

    def make(more="", **studies):
        changed = text
        for name, settings in studies.items():
            changed = changed.replace(f"  {name}:\n", f"  {name}: {settings}\n")
        flow.path.write_text(changed + more)
        return load(flow.path)

    return make


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("", Remote()),
        ("remote:\n", Remote()),
        ("remote: true\n", Remote(True)),
        ("remote: false\n", Remote(False)),
        ("remote: {port: 40123}\n", Remote(True, port=40123)),
        ("remote: {address: '::', port: 1}\n", Remote(True, "::", 1)),
        ("remote:\n  address: head.cluster\n", Remote(True, "head.cluster")),
    ],
)
def test_what_is_read(loaded, tmp_path, text, remote):
    config = loaded(text)
    assert config.remote == remote
    assert not config.warnings
    taken = snapshot.extended(None, config, 1.0)
    snapshot.write(tmp_path / "s", taken)
    assert snapshot.read(tmp_path / "s", config.path).config.remote == remote


_WRONG_KEYS = ["{}", "{adress: h}", "{wanted: true}", "[true]", "maybe", "40123"]
_WRONG_VALUES = ["{port: 0}", "{port: 65536}", "{port: true}", "{address: 1.5}", "{address: ''}"]


@pytest.mark.parametrize("text", [*_WRONG_KEYS, *_WRONG_VALUES])
def test_what_is_wrong(loaded, text):
    with pytest.raises(ConfigError, match=r"remote: must be true, false or a mapping") as caught:
        loaded(f"remote: {text}\n")
    assert "remote: true" in caught.value.hint


def test_two_studies_at_one_port(loaded):
    add = "{host: 'zeo://localhost:40123', insecure_tcp: true}"
    loaded(add=add, mult=add.replace("40123", "40124"))
    with pytest.raises(
        ConfigError, match=r"mult.host: zeo://127.0.0.1:40123 is the address of add"
    ):
        loaded(add=add, mult=add.replace("localhost", "127.0.0.1"))


def test_two_studies_at_one_port_of_another_host(loaded):
    add = "{host: 'zeo://node7.invalid:40123'}"
    loaded(add=add, mult=add.replace("node7", "node8"))
    with pytest.raises(ConfigError, match="is the address of add, too"):
        loaded(add=add, mult=add)


def test_the_gate_at_a_study_s_port(loaded):
    add = "{host: 'zeo://localhost:40123', insecure_tcp: true}"
    loaded("remote: {port: 40124}\n", add=add)
    with pytest.raises(ConfigError, match=r"remote\.port: 40123 is add's, too"):
        loaded("remote: {port: 40123}\n", add=add)


def test_from_when_on_it_counts(loaded):
    def between(before, after):
        return config_changes.changes(loaded(before), loaded(after))

    (change,) = between("", "remote: true\n")
    assert change.key == "remote" and change.reaches_supervisor
    (change,) = between("remote: true\n", "remote: {port: 40123}\n")
    assert change.daemons == ("gate",) and not change.reaches_supervisor
    assert between("remote:\n", "") == []


def test_logs_of_a_gate_where_there_is_one(loaded):
    def takers(more):
        before = loaded(more)
        changes = config_changes.changes(before, loaded(f"{more}supervisor: {{log_files: 9}}\n"))
        return {name for change in changes for name in change.daemons}

    assert "gate" in takers("remote: true\n")
    assert "gate" in takers("generator: slurm\n")
    assert "gate" not in takers("")
    assert "gate" not in takers("generator: slurm\nremote: false\n")
