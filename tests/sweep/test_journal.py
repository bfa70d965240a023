"""A journal of a sweep that is damaged is named, and nothing is acted upon."""

import json

import pytest

from robust.errors import ConfigError
from robust.sweep.journal import Journal
from robust.sweep.trials import Trial


@pytest.fixture
def lines(tmp_path):
    journal = Journal(tmp_path / "sweep.jsonl", {"a": 1})
    journal.start(Trial("0", {"x": 1}))
    journal.started(journal.trials["0"], 4_000_000)
    journal.end(journal.trials["0"], "finished", "", 2.0)
    journal.close()
    return (tmp_path / "sweep.jsonl").read_bytes().splitlines()


def reopened(tmp_path, lines):
    path = tmp_path / "sweep.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    journal = Journal(path, {"a": 1})
    journal.close()
    return journal


@pytest.mark.parametrize("blank", [b"", b"   ", b"\r", b"\t"])
def test_blank_lines_count_for_nothing(tmp_path, lines, blank):
    journal = reopened(tmp_path, [blank, *lines[:2], blank, blank, *lines[2:], blank])
    assert journal.trials == {"0": Trial("0", {"x": 1}, "finished", "", 2.0, 4_000_000)}


EVENTS = {
    "start": [
        *(
            {"id": 5},
            {"id": None},
            {"id": "../../a"},
            {"id": ""},
            {"id": "a\nb"},
            {"id": "x" * 300},
        ),
        *({"parameters": None}, {"parameters": [1]}, {"event": 5}, {"event": ["start"]}),
    ],
    "pid": [{"pid": None}, {"pid": 1}, {"pid": -1}, {"pid": True}, {"pid": 1.5}, {"id": "1"}],
    "end": [
        *({"state": "done"}, {"state": None}, {"state": []}, {"message": None}, {"message": 5}),
        *({"seconds": None}, {"seconds": -1}, {"seconds": float("nan")}, {"seconds": "1"}),
        *({"seconds": float("inf")}, {"seconds": True}, {"id": ["0"]}, {"id": "other"}),
    ],
}


@pytest.mark.parametrize(
    ("number", "change"),
    [(n, change) for n, kind in enumerate(EVENTS, start=1) for change in EVENTS[kind]],
)
def test_an_event_of_odd_values(tmp_path, lines, number, change):
    lines[number] = json.dumps({**json.loads(lines[number]), **change}).encode()
    refused(tmp_path, lines, number + 1)


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize(
    "line",
    [b"garbage", b"null", b"[]", b"5", b"{}", b"\xff\xfe", b"{", b"9" * 5_000, b"[" * 9_999, b"\0"],
)
def test_a_line_that_is_none(tmp_path, lines, number, line):
    lines[number] = line
    refused(tmp_path, lines, number + 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding(tmp_path, lines, encoding):
    content = b"\n".join(lines).decode().encode(encoding)
    refused(tmp_path, [content], 1)


def refused(tmp_path, lines, number):
    with pytest.raises(ConfigError, match=rf"line {number} of .*sweep.jsonl") as error:
        reopened(tmp_path, lines)
    assert len(str(error.value)) < 300
    assert (tmp_path / "sweep.jsonl").read_bytes() == b"\n".join(lines) + b"\n"
    # Nobody is kept from it by the one who gave up.
    with pytest.raises(ConfigError, match=f"line {number}"):
        Journal(tmp_path / "sweep.jsonl", {"a": 1})
