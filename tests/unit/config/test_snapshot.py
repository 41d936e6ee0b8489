"""What daemons take instead of the files: the same configuration, whatever was in them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from support import write_workflow

from motoko.config import WorkflowConfig, load
from motoko.config.snapshot import KEPT, VERSION, Snapshot, Taken, extended, plain, read, write

EVERYTHING = """\
task_managers:
  add: {retries: 0, timeout: 5, environment: {}, finish: on-exit, slurm_options: [mem=1G]}
  mult: {host: 'zeo://node7.invalid:8765', insecure_tcp: true, modules: [gcc/12]}
aliases: {first: mult}
orchestrator: orchestrator.main
generator: slurm
slots: 4
runtime_dir: run
batch: {poll_interval: 10s, max_submitted: 3}
supervisor: {nice: {bus: 3}, max_rss: {zeo: 1GB}, silence: 30, restart: never}
mine: {since: 2024-01-31, at: 2024-01-31 12:00:00, no: 1, 2: [3.5, null], many: .inf}
loop: &loop [1, *loop]
large: 123456789012345678901234567890
"""
BD_YAML = """\
study: mult
job: {x: float, b: list, t: tuple}
run: {note: str, z: complex}
job_space: {x: [1, 2]}
run_params: {note: a, when: 2024-01-31}
config_files: [launch.sh]
"""


@pytest.fixture
def config(tmp_path) -> WorkflowConfig:
    flow = write_workflow(tmp_path / "wf", ("add", "mult"))
    flow.path.write_text(EVERYTHING)
    (flow.directory / "mult" / "bd.yaml").write_text(BD_YAML)
    return load(flow.path)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "config.json"


def test_all_that_daemons_need_comes_back(config, path):
    write(path, extended(None, config, 7.0))
    found = read(path, config.path)
    assert found is not None and [each.since for each in found.taken] == [7.0]
    for name, study in config.studies.items():
        for field in dataclasses.fields(study):
            if field.name not in ("settings", "job_space", "run_params"):
                assert getattr(found.config.studies[name], field.name) == getattr(study, field.name)
    for field in dataclasses.fields(config):
        if field.name not in ("raw", "studies"):
            assert getattr(found.config, field.name) == getattr(config, field.name)
    assert list(found.config.studies) == list(config.studies)
    mult = found.config.studies["mult"]
    assert mult.jobs == {"x": float, "b": list, "t": tuple} and mult.runs["z"] is complex
    assert mult.job_space == {"x": [1, 2]}
    assert mult.run_params == {"note": "a", "when": "2024-01-31"}
    assert found.config.raw["mine"]["2"] == [3.5, None] and found.config.raw["loop"] == [1, "..."]
    # What has no form in JSON is a text, and is no change then.
    assert plain(found.config) == plain(config)
    assert extended(found, config, 8.0) == found


def test_daemons_have_what_was_there_when_they_were_started(config):
    changed = dataclasses.replace(config, slots=5)
    snapshot = extended(extended(None, config, 10.0), changed, 20.0)
    assert [snapshot.config_at(moment).slots for moment in (0.0, 10.0, 19.9, 20.0)] == [4, 4, 4, 5]
    assert snapshot.config.slots == 5


def test_it_does_not_grow_for_ever(config):
    snapshot = None
    for number in range(3 * KEPT):
        snapshot = extended(snapshot, dataclasses.replace(config, slots=number), float(number))
    assert snapshot is not None and len(snapshot.taken) == KEPT
    assert snapshot.config.slots == 3 * KEPT - 1


def test_none(config, path):
    assert read(path, config.path) is None


def of_other_version(text: str) -> str:
    return text.replace(f'"version":{VERSION}', f'"version":{VERSION + 1}')


def lacking(text: str) -> str:
    content = json.loads(text)
    del content["taken"][0]["config"]["slots"]
    return json.dumps(content)


@pytest.mark.parametrize(
    "spoilt",
    [
        of_other_version,
        lacking,
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"float"', '"no type"'),
        lambda text: "[]",
        lambda text: "",
        lambda text: f'{{"version":{VERSION},"taken":[]}}',
    ],
)
def test_what_cannot_be_used_is_none(config, path, spoilt):
    write(path, extended(None, config, 0.0))
    text = path.read_text()
    assert spoilt(text) != text
    path.write_text(spoilt(text))
    assert read(path, config.path) is None


def test_of_another_workflow(config, path):
    """The directory was moved, or is seen by another path: what is in the file is elsewhere."""
    write(path, Snapshot(VERSION, (Taken(0.0, config),)))
    assert read(path, config.path.with_name("other.yaml")) is None


def test_what_is_added_later_is_ignored(config, path):
    write(path, extended(None, config, 0.0))
    content = json.loads(path.read_text())
    content["new"] = content["taken"][0]["config"]["new"] = 1
    path.write_text(json.dumps(content))
    found = read(path, config.path)
    assert found is not None and found.config.slots == 4
