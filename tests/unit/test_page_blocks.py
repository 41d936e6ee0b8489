"""Every code block of the documentation is run by the tests, or says why not."""

import pytest
from page_blocks import PAGES, ROOT, Kind, blocks_of, commands_of
from shown_output import differs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_excused(page):
    blocks = list(blocks_of(page.read_text()))
    neither = [f"{page.name}:{block.line}" for block in blocks if block.kind is Kind.NEITHER]
    assert neither == []
    assert all(block.argument for block in blocks if block.kind is Kind.EXCUSED)


def test_kinds():
    text = (
        "```yaml\n# a/bd.yaml\nstudy: a\n```\n\n    $ echo a \\\n      b\n    a b\n    $ true\n\n"
        "<!-- not run: why -->\n```bash\nrm\n```\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
        "<!-- hidden\n```python\nx = 1\n```\n-->\n\nand\n\n    neither\n\n"
        "<!-- file: x.csv -->\n```text\n1\n```\n"
    )
    blocks = list(blocks_of(text))
    assert [(b.kind.value, b.argument) for b in blocks] == [
        ("file", "a/bd.yaml"),
        ("commands", ""),
        ("excused", "why"),
        ("python", ""),
        ("output", ""),
        ("python", ""),
        ("neither", ""),
        ("file", "x.csv"),
    ]
    first, second = commands_of(blocks[1].text)
    assert (first.text, first.shown) == ("echo a \\\n  b", ["a b"])
    assert (second.text, second.shown) == ("true", [])


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\n...\nz", "a\nb\nc\nz\n", True),
        ("a\nz", "a\nb\nz\n", False),
        ("a", "a\nb\n", False),
        ("took 0.2s (pid 12)", "took 1.3s (pid 999)", True),
        ("y 1.0", "y 2.0", False),
        ("in /home/me/x", "in /tmp/h/x", True),
        ("s: 0 created, 0 running, 2 finished, 0 failed", "", False),
        (
            "s: 0 created, 0 running, 2 finished, 0 failed",
            "s: 1 created, 1 running, 0 finished, 0 failed\n"
            "s: 0 created, 0 running, 2 finished, 0 failed\n",
            True,
        ),
        ("a ready (pid 1)\nb ready (pid 2)", "b ready (pid 3)\na ready (pid 4)", True),
    ],
)
def test_shown_output(shown, printed, same):
    assert (differs(shown.splitlines(), printed, "/tmp/h") == "") is same
