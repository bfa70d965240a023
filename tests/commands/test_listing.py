"""`robust list` explains names in lines that fit a terminal; a pipe gets one line for each."""

import os
import re

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
    wide = listed(kind, 5000, monkeypatch)
    wrapped = listed(kind, columns, monkeypatch)
    assert max(map(len, wrapped.splitlines())) <= columns
    assert max(map(len, wide.splitlines())) > columns or kind in ("networks", "sweeps")
    assert wrapped.split() == wide.split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipe_gets_a_line_for_each_name(kind, monkeypatch):
    lines = listed(kind, 80, monkeypatch, is_terminal=False).splitlines()
    assert all(re.fullmatch(r"[\w.]+  +\S.*", line) for line in lines)
    names = [line.split()[0] for line in lines]
    assert [*KINDS[kind]()] == [name for name in names if not name.startswith("torchattacks.")]
    assert ("torchattacks.FGSM" in names) == (kind == "attacks")


def test_what_else_an_attack_may_be(monkeypatch):
    told = " ".join(listed("attacks", 80, monkeypatch).split())
    for word in ("a function of a model", "adv_lib.attacks.fmn", "foolbox.attacks.LinfPGD"):
        assert word in told


def test_what_goes_on_is_indented(monkeypatch):
    first, second, *_ = listed("suites", 60, monkeypatch).splitlines()
    indent = len(second) - len(second.lstrip())
    assert first[indent - 2 : indent] == "  "
    assert first[indent] != " "


def test_a_narrow_terminal(monkeypatch):
    assert listed("data", 1, monkeypatch).split() == listed("data", 200, monkeypatch).split()
