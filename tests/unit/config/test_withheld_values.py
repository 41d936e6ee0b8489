"""A YAML file as others may read it."""

import pytest
import yaml

from motoko.config.withheld_values import without_values

TEXT = """\
# what it is
task_managers:
  one: {host: zeo:///x, environment: {FOO: bar, OMP_NUM_THREADS: 4}}
  two:
    host: zeo:///y   # here
    environment:
      TOKEN: >
        two
        lines
      X: &x "abc # no"
      Y: *x
notify:
  command: curl https://example.org/secret
  # about a secret
# about the next
orchestrator: o.main
environment:
  EMPTY:
  B: b
archive: {environment: {FOO: 1}}
mine: {a: *x}
"""


def absent(keys):
    return keys == ("notify",) or (keys[0] == "task_managers" and keys[2:] == ("host",))


def test_values_are_replaced_and_the_rest_stays():
    withheld = without_values(TEXT, ["OMP_NUM_THREADS"], absent)
    assert withheld.variables == ["B", "EMPTY", "FOO", "TOKEN", "X", "Y"]
    assert yaml.safe_load(withheld.text) == {
        "task_managers": {
            "one": {"host": None, "environment": {"FOO": "***", "OMP_NUM_THREADS": 4}},
            "two": {"host": None, "environment": {"TOKEN": "***", "X": "***", "Y": "***"}},
        },
        "notify": None,
        "orchestrator": "o.main",
        "environment": {"EMPTY": "***", "B": "***"},
        "archive": {"environment": {"FOO": 1}},
        "mine": {"a": "***"},
    }
    assert withheld.text.startswith("# what it is\n") and "# here\n" in withheld.text
    for private in ("bar", "two\n", "lines", "abc", "secret", "zeo:"):
        assert private not in withheld.text
    assert without_values(withheld.text, ["OMP_NUM_THREADS"], absent).text == withheld.text


@pytest.mark.parametrize(
    "text",
    [
        "base: &base {A: private}\nenvironment: {<<: *base, B: private}\n",
        "base: &base\n  A: private\nenvironment:\n  <<: *base\n  B: private\n",
        "environment: &env {A: private}\ntask_managers: {s: {environment: *env}}\n",
        "{environment: {A: [private, private], B: {C: private}}}",
        "environment:\n  'A': |-\n    private\n\n    private\n  B: 'pri''vate'\n",
        "\ufeffenvironment: {A: private}\n",
    ],
)
def test_anchors_blocks_and_lists(text):
    withheld = without_values(text)
    assert "pri" not in withheld.text and "A" in withheld.variables
    yaml.safe_load(withheld.text)


def test_files_get_other_names():
    text = 'config_files: [/data/a b.msh, ../c, "it\'s"]\njob: {x: int}\n'
    renamed = {"/data/a b.msh": "a b.msh", "it's": "it''s"}
    written = without_values(text, renamed=renamed).text
    assert yaml.safe_load(written)["config_files"] == ["a b.msh", "../c", "it''s"]


def test_what_cannot_be_left_out_is_refused():
    with pytest.raises(ValueError, match="no YAML any more"):
        without_values("notify: {a: &a 1}\nmine: *a\n", absent=lambda keys: keys == ("notify",))
