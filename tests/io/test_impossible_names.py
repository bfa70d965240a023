"""A name that no file can have is answered in one line."""

import pytest

from robust.commands.main import main
from robust.errors import ConfigError
from robust.io.text_files import expanded, named_path

IMPOSSIBLE = ["a\0b", "\0", "a/\ud800"]


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=ascii)
@pytest.mark.parametrize("take", [expanded, named_path])
def test_it_is_refused(name, take):
    with pytest.raises(ConfigError, match="Expected a name that a file can have"):
        take(name)


@pytest.mark.parametrize("name", ["ü", "a\udcff", "x" * 400])
def test_other_names_are_taken(name):
    assert str(expanded(name)) == name


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=ascii)
def test_a_card_is_not_written_there(name, tmp_path, capsys):
    assert main(["card", str(tmp_path), "-o", name]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: Expected a name that a file can have")
    assert "\n" not in error


@pytest.mark.parametrize("name", [*IMPOSSIBLE, "x" * 300], ids=lambda name: ascii(name)[:9])
@pytest.mark.parametrize(
    "words", ["card", "verify", "report", "evaluate", "evaluate --network=a.B"]
)
def test_no_run_is_there(words, name, capsys):
    assert main([*words.split(), name]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: Expected ")
    assert "\n" not in error
    assert len(error) <= 310
