"""Records on disk: round trips, interruptions, fingerprints."""

import dataclasses
import errno
import json
import math

import pytest
from filelock import FileLock

from robust.errors import ConfigError
from robust.results.record_files import RecordFile
from robust.results.records import Evaluation, read_evaluation
from tests.support.factories import header, info, row, rows
from tests.support.forkserver import FORKSERVER

HEADER = header(fgsm=info(alpha=0.1 + 0.2, loss="ce"))


def test_rows_and_header_come_back_exactly(tmp_path):
    written = [
        row(i, linf=0.1 + i / 3, clean_tie=bool(i % 2), zero_gradient=True) for i in range(5)
    ]
    within = header(fgsm=info(eps=2.0, alpha=0.1 + 0.2, loss="ce"))
    file = RecordFile(tmp_path, within)
    file.append(written)
    file.merge()
    back = read_evaluation(file.path)
    assert back.header == within
    assert back.rows == written
    assert [type(value) for value in back.rows[0]] == [type(value) for value in written[0]]


def test_an_unbounded_attack_with_random_targets_comes_back_from_strict_json(tmp_path):
    unbounded = dataclasses.replace(info("CW", minimal=True, target="random"), eps=math.inf)
    written = header(cw=unbounded, fgsm=info())
    file = RecordFile(tmp_path, written)
    file.append([row(attack="cw", target=3, adv=3, l2=40.0)])
    file.merge()

    def refuse(constant):
        raise AssertionError(constant)

    text = file.path.with_suffix(".json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert content["attacks"]["cw"]["eps"] is None
    back = read_evaluation(file.path)
    assert back.header == written
    assert back.header.fingerprint == written.fingerprint
    assert unbounded.succeeded(back.rows).all()


def test_parts_of_all_processes_are_read_and_merged(tmp_path):
    for rank in range(3):
        RecordFile(tmp_path, HEADER, rank).append(rows(0, 9)[rank::3])
    file = RecordFile(tmp_path, HEADER)
    assert sorted(r.index for r in file.read()) == list(range(9))
    file.merge()
    kept = [path.suffix for path in sorted(tmp_path.iterdir()) if path.name != ".lock"]
    assert kept == [".csv", ".json"]
    assert len(read_evaluation(file.path).rows) == 9


def add_every_other(folder, first):
    file = RecordFile(folder, HEADER)
    for added in rows(0, 60)[first::2]:
        file.append([added])
        file.merge()


def test_two_commands_lose_no_row_of_each_other(tmp_path):
    """Each adds rows one by one and merges all the time, which takes the parts of both away."""
    commands = [FORKSERVER.Process(target=add_every_other, args=(tmp_path, k)) for k in (0, 1)]
    for command in commands:
        command.start()
    for command in commands:
        command.join(120)
    assert [command.exitcode for command in commands] == [0, 0]
    assert [row.index for row in read_evaluation(file_of(tmp_path)).rows] == list(range(60))


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    asked = []

    def refuse(lock, *args, **kwargs):
        asked.append(lock)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    file = RecordFile(tmp_path, HEADER)
    file.append(rows(0, 3))
    file.merge()
    assert asked
    assert len(read_evaluation(file.path).rows) == 3


def file_of(folder):
    (path,) = folder.glob("*.csv")
    return path


@pytest.mark.parametrize("left", [-1, -8, 40, 3])
def test_a_torn_last_block_is_dropped_without_a_word(tmp_path, left, capsys):
    file = RecordFile(tmp_path, HEADER)
    file.append(rows(0, 3))
    part = next(tmp_path.glob("*.part0.csv"))
    first = part.read_text()
    file.append(rows(0, 6)[3:])
    part.write_text(first + part.read_text()[len(first) :][:left])
    assert [r.index for r in file.read()] == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_block_after_a_torn_one_is_complete(tmp_path):
    file = RecordFile(tmp_path, HEADER)
    file.append(rows(0, 3))
    part = next(tmp_path.glob("*.part0.csv"))
    part.write_text(part.read_text()[:-8])
    again = RecordFile(tmp_path, HEADER)
    again.append(rows(0, 3))
    assert [r.index for r in sorted(again.read())] == [0, 1, 2]


def test_a_row_written_twice_counts_once(tmp_path):
    file = RecordFile(tmp_path, HEADER)
    file.append([row(0, adv=0)])
    file.append([row(0, adv=1)])
    assert [r.adv_pred for r in file.read()] == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"block": 100},
        {"data_sha256": "other"},
        {"model_sha256": "other"},
        {"adaptive_sha256": "other"},
        {"source_sha256": "other"},
        {"attacks": {"fgsm": info(eps=0.2)}},
        {"attacks": {"fgsm": info(target=1)}},
        {"attacks": {"fgsm": info(target="random")}},
        {"attacks": {"fgsm": info(eps=math.inf)}},
        {"attacks": {"fgsm": dataclasses.replace(info(), code_sha256="other")}},
    ],
)
def test_another_protocol_is_another_file(tmp_path, change):
    other = dataclasses.replace(HEADER, **change)
    file = RecordFile(tmp_path, HEADER)
    file.append(rows(0, 3))
    file.merge()
    assert RecordFile(tmp_path, other).read() == []


def test_views_are_in_order_and_limits_cut():
    both = Evaluation(HEADER, rows(0, 5, view="adaptive") + rows(0, 5, view="deployed"))
    assert both.views == ["deployed", "adaptive"]
    assert [r.index for r in both.first(2).select("adaptive", "fgsm")] == [0, 1]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Expected to write records to"):
        RecordFile(tmp_path / "file" / "records", HEADER)


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_damaged_headers_are_one_line(tmp_path, content):
    (tmp_path / "x.csv").write_text("")
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ConfigError, match="Expected records in"):
        read_evaluation(tmp_path / "x.csv")
