"""``motoko completion``: the script by which a shell completes our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

INSTALL = {
    "bash": 'add to ~/.bashrc:  eval "$(motoko completion bash)"',
    "zsh": 'add to ~/.zshrc, after compinit:  eval "$(motoko completion zsh)"',
    "fish": "motoko completion fish > ~/.config/fish/completions/motoko.fish",
}
_HELP = """\
Print the script that completes Motoko's commands, options and study names in a shell. To install:

\b
""" + "\n".join(f"{shell}: {how}" for shell, how in INSTALL.items())


@click.command(help=_HELP, short_help="Print the script that completes commands in a shell.")
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None  # click supports all three shells
    group = context.find_root().command
    # Not `.source()`, which calls bash to ask for its version.
    script = kind.source_template % kind(group, {}, "motoko", "_MOTOKO_COMPLETE").source_vars()
    click.echo(f"# To install: {INSTALL[shell]}\n{script}")
