"""Questions of `motoko top`: whether something shall be changed, and which runs are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Question(ModalScreen[bool]):
    """Asks before something is changed; no is the default."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,enter,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._question))
            yield Static(Content("\ny: yes    n: no"), classes="dim")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Entry(ModalScreen[str | None]):
    """Asks for a line of text; escape leaves everything as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, what: str, value: str, suggestions: Iterable[str] = ()) -> None:
        super().__init__()
        self._what, self._value = what, value
        self._names = ", ".join(suggestions)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._what))
            entry = Input(self._value)
            entry.cursor_blink = False
            yield entry
            if self._names:
                yield Static(Content(self._names), classes="dim")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        self.dismiss(None)
