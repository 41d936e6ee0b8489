"""The record of where the gate listens."""

import pytest

from motoko.channel import endpoint
from motoko.channel.endpoint import Endpoint, NoChannel

GATE = Endpoint(("10.1.2.3", "head"), 40123, "head", "b", "/tmp/motoko-0/ab", ("control", "zeo-m"))


def test_it_is_read_as_it_was_written(tmp_path):
    GATE.write(tmp_path)
    assert endpoint.read(tmp_path) == GATE


def test_none(tmp_path):
    with pytest.raises(NoChannel, match="does not listen"):
        endpoint.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_is_no_record(tmp_path, text):
    (tmp_path / endpoint.FILE_NAME).write_text(text)
    with pytest.raises(NoChannel):
        endpoint.read(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"hosts": 1}'])
def test_of_another_version(tmp_path, text):
    (tmp_path / endpoint.FILE_NAME).write_text(text)
    with pytest.raises(NoChannel, match="another version"):
        endpoint.read(tmp_path)
