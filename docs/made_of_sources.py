"""Makes parts of the site from other sources: the pages only mark the places.

- `index.md`: its tables of pages become the navigation, and its table of words the glossary.
- `options.md`: the help of every command, as it is printed.
- `api.md`: the public names of the package with their docstrings.
"""

import re
from collections.abc import Iterator

import click
from click.testing import CliRunner
from sphinx.application import Sphinx

import motoko
from motoko.cli.main import Options, cli

HERE = "<!-- made of the sources -->"
SHELF = re.compile(r"^## (?P<title>.+)\n\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)
PAGE = re.compile(r"^\| \[.+?\]\((?P<page>[\w/-]+)\.md\) \|", re.MULTILINE)
WORD = re.compile(r"^\| (?P<word>[^|]+) \| (?P<meaning>.+) \|$", re.MULTILINE)
# In the help of `motoko run` outside of a workflow, as it is called here.
OWN_OPTIONS = "\nThe workflow's own options"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    if page == "index":
        source[0] = with_navigation(source[0])
    elif page == "options":
        source[0] = source[0].replace(HERE, "\n".join(options()))
    elif page == "api":
        source[0] = source[0].replace(HERE, "\n".join(public_names()))


def with_navigation(index: str) -> str:
    """The first page, with a list of contents for each table, and its words as a glossary."""
    contents = ""
    for shelf in SHELF.finditer(index):
        if pages := PAGE.findall(shelf["rows"]):
            contents += f"\n```{{toctree}}\n:hidden:\n:caption: {shelf['title']}\n\n"
            contents += "\n".join(pages) + "\n```\n"
        elif shelf["title"] == "Words":
            words = WORD.findall(shelf["rows"])[1:]  # below their heading
            entries = "\n\n".join(f"{word}\n  {meaning}" for word, meaning in words)
            index = index.replace(shelf["rows"], f"```{{glossary}}\n{entries}\n```\n")
    return index + contents


def options() -> Iterator[str]:
    """Every command's help, below its name."""
    for path in _commands(cli, ()):
        shown = CliRunner().invoke(cli, [*path, "--help"], prog_name="motoko", obj=Options())
        assert shown.exit_code == 0, (path, shown.output)
        help_text = shown.output.partition(OWN_OPTIONS)[0].strip()
        yield f"## motoko {' '.join(path)}\n\n```text\n{help_text}\n```\n"


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def public_names() -> Iterator[str]:
    """Directives for all that `import motoko` offers, errors last."""
    names = sorted(motoko.__all__, key=lambda name: (_is_error(name), name))
    for name in names:
        thing = getattr(motoko, name)
        kind = "class" if isinstance(thing, type) else "function"
        if kind == "class":
            kind = "exception" if _is_error(name) else kind
        yield f"```{{eval-rst}}\n.. auto{kind}:: motoko.{name}"
        if kind != "function":
            yield "   :members:\n   :show-inheritance:"
        yield "```\n"


def _is_error(name: str) -> bool:
    thing = getattr(motoko, name)
    return isinstance(thing, type) and issubclass(thing, BaseException)
