"""`robust list` on a terminal wraps between words; in a pipe each name has one line."""

import os

import pytest

from robust.commands.listing import KINDS, list_names


class Terminal:
    """A standard output that may be a terminal."""

    def __init__(self, *, is_one: bool) -> None:
        self.is_one, self.text = is_one, ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing, as nothing is buffered."""

    def isatty(self) -> bool:
        return self.is_one


def listed(kind, columns, monkeypatch, *, is_terminal=True):
    output = Terminal(is_one=is_terminal)
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setattr(
        "robust.commands.listing.shutil.get_terminal_size",
        lambda: os.terminal_size((columns, 24)),
    )
    assert list_names([kind]) == 0
    return output.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [80, 100])
def test_a_terminal_gets_complete_words(kind, columns, monkeypatch):
    piped = listed(kind, columns, monkeypatch, is_terminal=False)
    wrapped = listed(kind, columns, monkeypatch)
    assert max(map(len, wrapped.splitlines())) <= columns
    assert max(map(len, piped.splitlines())) > columns or kind in ("networks", "sweeps")
    assert wrapped.split() == piped.split()


def test_what_goes_on_is_indented(monkeypatch):
    first, second, *_ = listed("suites", 60, monkeypatch).splitlines()
    indent = len(second) - len(second.lstrip())
    assert first[indent - 2 : indent] == "  "
    assert first[indent] != " "


def test_a_narrow_terminal(monkeypatch):
    assert listed("data", 1, monkeypatch).split() == listed("data", 200, monkeypatch).split()
