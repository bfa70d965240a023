"""A file or pipe gets the lines of a table without blanks at their ends, as `print(result)` has."""

import io

from rich.console import Console

from robust.results.cells import Grid


def grid():
    return Grid(
        "A title", ["name", "value"], [["a long name", "1"], ["b", "22"]], notes=["A note."]
    )


def test_a_pipe_gets_no_padding(capsys):
    grid().print()
    lines = capsys.readouterr().out.splitlines()
    assert any("a long name" in line for line in lines)
    assert lines == [line.rstrip() for line in lines]


def test_an_ascii_pipe_gets_ascii(tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        grid().print(Console(file=file, markup=False, emoji=False))
    assert "a long name" in (tmp_path / "out").read_text(encoding="ascii")


def test_a_terminal_gets_the_table_too():
    text = io.StringIO()
    grid().print(Console(file=text, width=60, force_terminal=True, markup=False, emoji=False))
    assert "a long name" in text.getvalue()
