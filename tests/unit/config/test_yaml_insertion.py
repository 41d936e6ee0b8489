"""A study is added to the text of a motoko.yaml: all else stays as it is, comments included."""

import pytest
import yaml

from motoko.config.yaml_insertion import with_study

SETTINGS = {"finish": "on-exit", "results": {"e": r"E: (\S+) # 'x'", "n": {"csv": "n"}}}

SHAPES = {
    "the usual one": "# mine\ntask_managers:\n  mult:\n\norchestrator: o.main # yes\n",
    "settings and comments": (
        "task_managers:\n    mult:   # first\n        retries: 2\n    # about mult\n\n"
        "# about the orchestrator\norchestrator: o.main\n"
    ),
    "at the end, without a last line break": "orchestrator: o.main\ntask_managers:\n  mult: {}",
    "no study yet": "task_managers:\norchestrator: o.main\n",
    "CRLF": "task_managers:\r\n  mult:\r\norchestrator: o.main\r\n",
    "a text of several lines": "task_managers:\n  mult:\n    note: |\n      a\n      b\n\nx: 1\n",
    "no indentation for lists": "task_managers:\n  mult:\n    options:\n    - a\n    - b\nx: 1\n",
    "flow below": "task_managers:\n  mult: {retries: 1,\n    nproc: 2}\nx: 1\n",
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_it_is_added_and_nothing_else_changes(text):
    changed = with_study(text, "sim", SETTINGS)
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    assert after.pop("task_managers") == {**(before.pop("task_managers") or {}), "sim": SETTINGS}
    assert after == before
    kept = iter(changed.splitlines(keepends=True))
    assert all(any(line.rstrip() == new.rstrip() for new in kept) for line in text.splitlines())
    assert changed.count("\r\n") == (changed.count("\n") if "\r\n" in text else 0)


@pytest.mark.parametrize(
    "text",
    [
        "task_managers: {mult: }\norchestrator: o.main\n",
        "task_managers: {}\n",
        "base: &b\n  mult:\ntask_managers: *b\n",
        "orchestrator: o.main\n",
        "{task_managers: {mult: }}\n",
        "",
    ],
)
def test_other_shapes_are_left_alone(text):
    assert with_study(text, "sim", SETTINGS) is None
