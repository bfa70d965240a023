"""Names of files may have bytes that are no text, or characters that a terminal obeys."""

import os

import pytest

from robust.checkpoints import CHECKSUMS, NOTES, notes_of
from robust.commands.report import report
from robust.commands.train import train
from robust.errors import ConfigError
from robust.io import files
from robust.io.names import printable
from robust.io.notes import note
from robust.io.text_files import check_arguments
from robust.loading.messages import shortened
from robust.results.cells import Grid, Stack
from robust.results.run_folder import Reader
from tests.support.tiny import arguments

NO_TEXT = os.fsdecode(b"b\xff")
ODD = (NO_TEXT, "e\x1b[31mx", "n\nl", "r\u202etxt", "c\x9b2J")


@pytest.mark.parametrize("name", ODD)
def test_no_message_prints_what_a_terminal_obeys(name, capsys):
    note(f"{name} is left out")
    for text in (printable(name), shortened(name), capsys.readouterr().err.rstrip("\n")):
        assert text.isprintable()
        text.encode()
    assert printable("Straße [a] *") == "Straße [a] *"


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("name", ODD)
def test_one_odd_folder_costs_no_report(name, tmp_path, capsys):
    for run in ("good", name):
        (tmp_path / "runs" / "a" / run).mkdir(parents=True)
        (tmp_path / "runs" / "a" / run / "metrics.csv").write_text("step,val/loss\n1,2\n")
        (tmp_path / "runs" / "a" / run / "figures").mkdir()
        (tmp_path / "runs" / "a" / run / "records").mkdir()
        (tmp_path / "runs" / "a" / run / "records" / f"{name}.csv").write_text("no records")
    names = {run.name for run in Reader().read([tmp_path / "runs"])}
    assert names == {"a/good", f"a/{printable(name)}"}
    output = tmp_path / f"{name}.html"
    assert report(["--report", str(tmp_path / "runs"), "-o", str(output)]) == 0
    assert "a/good" in output.read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert (said.out + said.err).replace("\n", "").isprintable()


def test_a_text_of_odd_bytes_is_written(tmp_path):
    for write in (files.write, files.write_output):
        write(tmp_path / "a", f"{NO_TEXT} é")
        assert (tmp_path / "a").read_bytes() == b"b\\udcff \xc3\xa9"


def test_a_training_refuses_what_no_config_can_hold(npz, suite, tmp_path, capsys):
    data = tmp_path / f"{NO_TEXT}.npz"
    data.write_bytes(npz.read_bytes())
    assert train(arguments(data, tmp_path / "runs", suite)) == 2
    assert capsys.readouterr().err.startswith("error: Expected arguments in UTF-8, but got --data.")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError, match=r"but got --run.root=b\\udcff\. Rename"):
        check_arguments([f"--run.root={NO_TEXT}"])
    check_arguments(["--run.root=Größe", "--a=\U0001f600"])


@pytest.mark.parametrize("name", ODD)
def test_a_table_prints_nothing_that_a_terminal_obeys(name, capsys):
    grid = Grid(name, ["run", name], [[name, Stack((name, 1.0))]], [f"{name}: a note"])
    grid.print()
    for text in (capsys.readouterr().out, grid.markdown()):
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ODD)
def test_notes_of_a_checkpoint_are_bounded(name):
    notes = notes_of({NOTES: [name, 5, "x" * 10_000, *[name] * 100], CHECKSUMS: {}})
    assert notes[0] == printable(name)
    assert len(notes) == 10
    assert max(map(len, notes)) == 300
    assert notes_of({NOTES: "text", CHECKSUMS: {}}) == []
