"""What `motoko init` writes: every template is a workflow, and nothing is overwritten."""

import pytest

from motoko.config import load
from motoko.errors import ConfigError
from motoko.operations.file_warnings import file_warnings
from motoko.operations.new_files import write_new
from motoko.operations.starter_files import TEMPLATES


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_a_workflow_without_warnings(tmp_path, template):
    names = write_new(tmp_path / "new" / "wf", TEMPLATES[template])
    assert names == [*TEMPLATES[template]] and names[-1] == "motoko.yaml"
    config = load(tmp_path / "new" / "wf")
    assert not config.warnings and not file_warnings(config)
    assert all(line.isascii() for text in TEMPLATES[template].values() for line in text)


@pytest.mark.parametrize("taken", ["square/bd.yaml", "motoko.yaml", "orchestrator.py"])
def test_nothing_is_overwritten_and_nothing_is_written_then(tmp_path, taken):
    path = tmp_path / taken
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(tmp_path / "nowhere")  # a link that leads nowhere is there as well
    with pytest.raises(ConfigError, match=taken):
        write_new(tmp_path, TEMPLATES["minimal"])
    assert [file for file in tmp_path.rglob("*") if not file.is_dir()] == [path]


def test_a_gitignore_is_kept(tmp_path):
    (tmp_path / ".gitignore").write_text("mine\n")
    assert ".gitignore" not in write_new(tmp_path, TEMPLATES["minimal"])
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a directory"):
        write_new(tmp_path / "file", TEMPLATES["minimal"])
