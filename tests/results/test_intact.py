"""Damaged records: named, set aside and attacked again, while the rest of them stays."""

import contextlib
import csv
import dataclasses
import json
import os

import pytest

from robust.errors import ConfigError
from robust.results.record_files import RecordFile
from robust.results.records import read_evaluation
from tests.support.factories import header, info, row, rows

HEADER = dataclasses.replace(header(fgsm=info(), pgd=info()), block=4)
ALL = [r for view in ("adaptive", "deployed") for a in ("fgsm", "pgd") for r in
       rows(3, 12, view=view, attack=a)]  # fmt: skip


def merged(folder, header=HEADER, written=ALL):
    file = RecordFile(folder, header)
    file.append(written)
    file.merge()
    return file


def old(file):
    """As versions without checksums left it."""
    head = file.path.with_suffix(".json")
    content = json.loads(head.read_text())
    del content["checksums"]
    head.write_text(json.dumps(content))


def edit(path, line, field, value):
    """Change a field of a row, counted from 1 after the names of the fields."""
    lines = list(csv.reader(path.read_text().splitlines()))
    lines[line][lines[0].index(field)] = value
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


IMPOSSIBLE = [
    ("label", "-1"),
    ("label", "7"),
    ("index", "-3"),
    ("linf", "nan"),
    ("l2", "nan"),
    ("l0", "-1.0"),
    ("linf", "0.2"),
    ("l2", "inf"),
    ("attacked", "0.5"),
    ("attacked", "Tx"),
    ("attacked", "False"),
    ("view", "published"),
    ("view", "nobody"),
    ("attack", "other"),
    ("target", "3"),
    ("adv_pred", "x"),
    ("adv_pred", "1e3"),
    ("clean_pred", "999999999999999999999999"),
    ("seconds", "-1"),
]
PLAUSIBLE = [("adv_pred", "2"), ("l2", "0.25"), ("clean_tie", "True"), ("seconds", "0.5")]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("field", "value"), IMPOSSIBLE + PLAUSIBLE)
def test_a_row_that_was_changed_costs_its_block_which_is_set_aside(tmp_path, field, value, capsys):
    file = merged(tmp_path)
    edit(file.path, 6, field, value)
    found = RecordFile(tmp_path, HEADER, classes=5).read()
    assert sorted(found) == [
        r for r in sorted(ALL) if r[:2] != ("adaptive", "fgsm") or r.index not in range(4, 8)
    ]
    (line,) = capsys.readouterr().err.splitlines()
    assert "damaged block" in line
    assert line.endswith("Set aside in its .damaged.csv, to be attacked again.")
    assert len(line) < 300
    assert value in (tmp_path / f"{file.path.stem}.damaged.csv").read_text()
    again = RecordFile(tmp_path, HEADER)
    assert list(again.read()) == list(found)
    assert capsys.readouterr().err == ""
    again.append([r for r in ALL if r not in found])
    again.merge()
    assert sorted(read_evaluation(file.path).rows) == sorted(ALL)
    assert read_evaluation(file.path).notes == []


@pytest.mark.parametrize(
    ("field", "value"), [case for case in IMPOSSIBLE if case[1] not in ("7", "published")]
)
def test_impossible_values_are_found_without_checksums_too(tmp_path, field, value, capsys):
    file = merged(tmp_path)
    old(file)
    edit(file.path, 6, field, value)
    found = RecordFile(tmp_path, HEADER, classes=5).read()
    assert len(found) < len(ALL)
    assert "damaged" in capsys.readouterr().err
    assert set(found) <= set(ALL)


def test_an_index_that_is_there_twice_costs_both_blocks(tmp_path):
    file = merged(tmp_path)
    edit(file.path, 6, "index", "1")
    assert len(RecordFile(tmp_path, HEADER).read()) == len(ALL) - 8


def test_predictions_that_were_all_set_back_are_found(tmp_path):
    file = merged(tmp_path)
    for line in range(1, len(ALL) + 1):
        edit(file.path, line, "adv_pred", "0")
    found = RecordFile(tmp_path, HEADER).read()
    assert {r.index // 4 for r in found} == {1, 2}  # the attack had succeeded on no other
    assert read_evaluation(file.path).rows == sorted(found)


@pytest.mark.parametrize("line", ["garbage", "#", "a,b", "deployed,fgsm,1", "x" * 200_000, "\0"])
@pytest.mark.parametrize("checked", [True, False])
def test_lines_that_are_no_rows(tmp_path, line, checked, capsys):
    file = merged(tmp_path)
    if not checked:
        old(file)
    with file.path.open("a") as added:
        added.write(f"{line}\n")
    assert sorted(RecordFile(tmp_path, HEADER).read()) == sorted(ALL)
    (said,) = capsys.readouterr().err.splitlines()
    assert "lines that are no rows" in said


def test_a_missing_row_is_seen(tmp_path):
    file = merged(tmp_path)
    lines = file.path.read_text().splitlines()
    file.path.write_text("\n".join([*lines[:3], *lines[4:], ""]))
    assert len(RecordFile(tmp_path, HEADER).read()) == len(ALL) - 4


def test_a_missing_block_is_seen(tmp_path, capsys):
    file = merged(tmp_path)
    lines = file.path.read_text().splitlines()
    file.path.write_text("\n".join([*lines[:1], *lines[5:], ""]))
    assert len(RecordFile(tmp_path, HEADER).read()) == len(ALL) - 4
    assert "missing rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n\n", b"\xff\xfe", b"\x80" * 50 + b"\n", "view,index\n".encode("utf-16")],
)
def test_bytes_that_are_no_text(tmp_path, content):
    file = merged(tmp_path)
    file.path.write_bytes(content)
    assert len(RecordFile(tmp_path, HEADER).read()) == 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "latin-1", "utf-8"])
def test_rows_in_another_encoding_are_set_aside_byte_for_byte(tmp_path, encoding):
    file = merged(tmp_path)
    lines = file.path.read_bytes().decode().split("\r\n")
    content = "\r\n".join([*lines[:2], "é" + lines[2], lines[3][:-4]]).encode(encoding)
    file.path.write_bytes(content)
    RecordFile(tmp_path, HEADER).read()
    saved = (tmp_path / f"{file.path.stem}.damaged.csv").read_bytes()
    for line in content.splitlines(keepends=True)[-2:]:
        assert line in saved


def test_a_header_that_is_gone_keeps_the_bytes_of_its_rows(tmp_path):
    file = merged(tmp_path)
    content = b"\xff\xfe\x80" + file.path.read_bytes() + b"\x00 half a line"
    file.path.write_bytes(content)
    file.path.with_suffix(".json").unlink()
    RecordFile(tmp_path, HEADER).read()
    assert (tmp_path / f"{file.path.stem}.damaged.csv").read_bytes() == content


HEADERS = {
    "null": lambda content: None,
    "empty": lambda content: {},
    "text": lambda content: "x",
    "list": lambda content: [content],
    "norm": lambda content: content["attacks"]["fgsm"].update(norm="L2") or content,
    "eps": lambda content: content["attacks"]["fgsm"].update(eps=0.9) or content,
    "suite": lambda content: {**content, "suite": "other"},
    "more": lambda content: {**content, "more": 1},
    "checksums": lambda content: {**content, "checksums": [1]},
    "sum": lambda content: {**content, "checksums": {"deployed": {"fgsm": {"x": "1"}}}},
}


@pytest.mark.parametrize("kind", [*HEADERS, "gone", "binary", "deep", "pipe"])
def test_a_header_that_cannot_be_believed(tmp_path, kind, capsys):
    file = merged(tmp_path)
    head = file.path.with_suffix(".json")
    content = json.loads(head.read_text())
    head.unlink()
    if kind in HEADERS:
        head.write_text(json.dumps(HEADERS[kind](content)))
    elif kind == "binary":
        head.write_bytes(b"\xff\xfe\x00{")
    elif kind == "deep":
        head.write_text("[" * 100_000)
    elif kind == "pipe":
        os.mkfifo(head)
    with pytest.raises(ConfigError, match="Evaluate again") as caught:
        read_evaluation(file.path)
    assert len(str(caught.value)) < 300 + len(str(tmp_path)) * 2
    if kind == "pipe":
        with pytest.raises(ConfigError, match="a pipe"):
            RecordFile(tmp_path, HEADER)
        return
    again = RecordFile(tmp_path, HEADER)
    assert len(again.read()) == 0
    assert "a header that cannot be believed" in capsys.readouterr().err
    again.append(ALL)
    again.merge()
    assert sorted(read_evaluation(file.path).rows) == sorted(ALL)


def test_a_report_shows_the_samples_of_which_all_is_intact(tmp_path):
    file = merged(tmp_path)
    edit(file.path, 6, "adv_pred", "2")
    found = read_evaluation(file.path)
    assert {r.index for r in found.rows} == {0, 1, 2, 3, 8, 9, 10, 11}
    assert len(found.rows) == 8 * 4
    assert found.notes == [
        "damaged records are left out (a checksum that does not match); evaluate again."
    ]


def test_a_report_of_nothing_intact_says_why(tmp_path):
    file = merged(tmp_path)
    for line in range(1, 13):
        edit(file.path, line, "label", "-1")
    found = read_evaluation(file.path)
    assert {r.view for r in found.rows} == {"deployed"}
    for line in range(1, len(ALL) + 1):
        edit(file.path, line, "label", "-1")
    with pytest.raises(ConfigError, match="label that is no class"):
        read_evaluation(file.path)


def test_records_of_before_are_read_and_marked(tmp_path):
    file = merged(tmp_path)
    old(file)
    note = "unchecked: its records are from before there were checksums."
    assert read_evaluation(file.path).rows == sorted(ALL)
    assert read_evaluation(file.path).notes == [note]
    again = RecordFile(tmp_path, HEADER)
    assert again.read() == sorted(ALL)
    assert again.notes == [note]
    again.append([r for r in ALL if r.index < 4])
    again.merge()
    assert read_evaluation(file.path).notes == [
        "unchecked: 32 of 48 of its records are from before there were checksums."
    ]
    edit(file.path, 1, "adv_pred", "2")
    assert len(RecordFile(tmp_path, HEADER).read()) == len(ALL) - 4


def test_a_part_of_before_is_read_and_gone_on_with(tmp_path):
    file = RecordFile(tmp_path, HEADER)
    part = tmp_path / f"{file.path.stem}.part0.csv"
    with part.open("w", newline="") as writing:
        csv.writer(writing).writerows(ALL[:4])
        writing.write("adaptive,fg")
    again = RecordFile(tmp_path, HEADER)
    again.append(ALL[4:8])
    assert again.read() == sorted(ALL[:8])
    assert again.notes == ["unchecked: 4 of 8 of its records are from before there were checksums."]


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("bit", [1, 16, 64])
def test_a_flipped_bit_of_a_part_costs_a_block(tmp_path, place, bit, capsys):
    file = RecordFile(tmp_path, HEADER)
    file.append(ALL)
    part = tmp_path / f"{file.path.stem}.part0.csv"
    content = bytearray(part.read_bytes())
    content[int(place * len(content))] ^= bit
    part.write_bytes(content)
    found = file.read()
    assert len(found) in (len(ALL) - 4, len(ALL) - 8)  # or it was the line between two blocks
    assert set(found) < set(ALL)
    assert "damaged" in capsys.readouterr().err
    assert file.read() == list(found)


def test_a_flipped_bit_of_a_file_costs_at_most_the_blocks_that_it_touches(tmp_path):
    file = merged(tmp_path)
    before = file.path.read_bytes()
    head = file.path.with_suffix(".json").read_text()
    for place in range(100, len(before), 97):
        content = bytearray(before)
        content[place] ^= 1 << place % 8
        file.path.write_bytes(content)
        file.path.with_suffix(".json").write_text(head)
        found = RecordFile(tmp_path, HEADER).read()
        assert len(found) >= len(ALL) - 8
        assert set(found) <= set(ALL)


@pytest.mark.parametrize("writes", [1, 2])
def test_a_command_that_is_killed_while_it_merges_loses_nothing(
    tmp_path, monkeypatch, writes, capsys
):
    """Between the header and the rows, and between the rows and the header without the old sums."""
    file = merged(tmp_path, written=[r for r in ALL if r.index < 6])
    file.append([r for r in ALL if r.index >= 4])
    replace, done = os.replace, []

    def killed(source, target):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(target)
        return replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            file.merge()
    half = read_evaluation(file.path)
    assert half.notes == []
    assert {r.index for r in half.rows} == set(range(6 if writes == 1 else 12))
    assert RecordFile(tmp_path, HEADER).read() == sorted(ALL)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name", ["{}.json", "{}.csv", "{}.new", "{}.part0.csv", "{}.damaged.csv", ".lock"]
)
def test_nothing_is_written_through_a_link(tmp_path, name):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    records = tmp_path / "records"
    records.mkdir()
    stem = f"{HEADER.suite}-{HEADER.fingerprint}"
    (records / name.format(stem)).symlink_to(mine)
    with contextlib.suppress(ConfigError):  # where links are refused, not replaced
        merged(records)
    assert mine.read_text() == "mine"


def test_a_folder_of_records_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "records").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="but got a symbolic link"):
        RecordFile(tmp_path / "records", HEADER)


def test_notes_are_kept_beside_the_header(tmp_path):
    file = RecordFile(tmp_path, HEADER, notes=["untrained."])
    file.append([row(attack="fgsm"), row(attack="pgd")])
    file.merge()
    back = read_evaluation(file.path)
    assert back.notes == ["untrained."]
    assert back.header.fingerprint == HEADER.fingerprint
    assert back.first(1).notes == ["untrained."]
