"""When other hosts are let in, and at which address."""

import pytest
from fictitious_batch import Fictitious
from support import write_workflow

from motoko.batch import registry
from motoko.channel import keys, listening
from motoko.channel.endpoint import Endpoint
from motoko.config import load
from motoko.errors import ConfigError
from motoko.layout import channel_directory
from motoko.operations import remote_access
from motoko.operations.generator_check import check_generators


@pytest.fixture
def system(monkeypatch):
    made = Fictitious()
    monkeypatch.setattr(registry, "SYSTEMS", [made])
    return made


@pytest.fixture
def loaded(tmp_path):
    flow = write_workflow(tmp_path / "wf")
    text = flow.path.read_text()

    def make(more=""):
        flow.path.write_text(text + more)
        return load(flow.path)

    return make


def test_as_the_file_says(system, loaded):
    assert remote_access.is_on(loaded("remote: true\n"))
    system.node = "192.0.2.1"
    assert not remote_access.is_on(loaded("remote: false\n"), generator="fictitious")


@pytest.mark.parametrize(("node", "is_on"), [("192.0.2.1", True), ("", False), (None, False)])
def test_by_default_for_nodes_elsewhere(system, loaded, node, is_on):
    system.node = node
    config = loaded()
    assert remote_access.is_on(config, generator="fictitious") is is_on
    assert not remote_access.is_on(config)  # bash
    assert not remote_access.is_on(config, generator="fictitious", launchers=False)


def test_it_stays_as_it_was_where_nothing_is_known(system, loaded):
    system.node = None
    config = loaded()
    channel = channel_directory(config.directory)
    channel.mkdir(parents=True)
    keys.ensure(channel)
    assert remote_access.is_on(config, generator="fictitious")
    assert remote_access.is_on(config, launchers=False)
    assert not remote_access.is_on(config)


def test_nodes_that_are_kept_out(system, loaded):
    config = loaded("remote: false\n")
    check_generators(config, "fictitious")
    system.node = "192.0.2.1"
    with pytest.raises(
        ConfigError, match=r"mult: nodes are other hosts, such as 192\.0\.2\.1"
    ) as caught:
        check_generators(config, "fictitious")
    assert "remote: false" in caught.value.hint
    check_generators(loaded(), "fictitious")


def test_an_address_of_another_host(system, loaded):
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 is no address of this host"):
        remote_access.gate_address(loaded("remote: {address: 192.0.2.1}\n"), None)
    with pytest.raises(ConfigError, match="there is no host"):
        remote_access.gate_address(loaded("remote: {address: no.invalid}\n"), None)


def test_the_address_of_before(system, loaded, monkeypatch):
    config = loaded("remote: {port: 40123}\n")
    for module in (remote_access, listening):
        monkeypatch.setattr(module, "own_addresses", lambda: {"127.0.0.1", "10.9.8.7"})
    before = Endpoint(("10.9.8.7", "head"), 1, "head", "b", "/s", ())
    assert remote_access.gate_address(config, before) == ("10.9.8.7", 40123)
    monkeypatch.setattr(listening, "address_towards", lambda host: "10.9.8.9")
    elsewhere = before._replace(hosts=("10.1.1.1",))
    assert remote_access.gate_address(config, elsewhere) == ("10.9.8.9", 40123)
    at_loopback = before._replace(hosts=("127.0.0.1",))
    assert remote_access.gate_address(config, at_loopback) == ("10.9.8.9", 40123)


def test_the_address_towards_the_nodes(system, loaded, monkeypatch):
    system.node = "node7"
    monkeypatch.setattr(
        listening, "address_towards", lambda host: "10.9.8.7" if host == "node7" else "10.0.0.1"
    )
    assert remote_access.gate_address(loaded(), None) == ("10.9.8.7", None)
    system.node = ""
    assert remote_access.gate_address(loaded(), None) == ("10.0.0.1", None)
