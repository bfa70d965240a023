"""`robust card` of damaged records says so: among its limits, and on standard error."""

import shutil

import pytest

from robust.commands.main import main
from robust.report.card.sealed import read_card
from tests.commands.test_verify_kept import (
    another,
    emptied,
    folder,
    gone,
    kept_of,
    link,
    pipe,
    shorter,
    verified,
)

pytestmark = pytest.mark.usefixtures("quiet")


def changed(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unsealed(path):
    header = path.with_suffix(".json")
    header.write_text(header.read_text() + " ")


def written(run, capsys):
    """Return the limits of each evaluation on the card of a run, and what was said meanwhile."""
    capsys.readouterr()
    assert main(["card", str(run), "-o", str(run.parents[2] / "card")]) == 0
    (found,) = read_card(run.parents[2] / "card/card.json")["runs"]
    return [each["limits"] for each in found["evaluations"]], capsys.readouterr().err


def doubts(limits):
    return [limit for limit in limits if "do not stand" in limit or "left out" in limit]


def test_intact_records_leave_no_doubt(run, capsys):
    (limits,), err = written(run, capsys)
    assert (doubts(limits), "damaged" in err) == ([], False)


@pytest.mark.parametrize(
    "damage", [gone, emptied, another, shorter, folder, pipe, link, changed, unsealed]
)
def test_damage_beside_the_rows_is_a_limit(run, damage, capsys):
    damage(kept_of(run))
    (limits,), err = written(run, capsys)
    (doubt,) = doubts(limits)
    faults = verified(run, capsys)[1].splitlines()
    (fault,) = [line for line in faults if line.startswith("does not stand")]
    assert fault.endswith(doubt.partition(": ")[2]), (fault, doubt)
    assert "damaged" in err


def test_damaged_rows_are_a_limit(run, capsys):
    changed(kept_of(run).with_suffix(".csv"))
    (limits,), err = written(run, capsys)
    assert any("damaged" in limit for limit in limits), limits
    assert "damaged" in err


def test_records_that_cannot_be_read_are_a_limit_of_the_others(run, capsys):
    for suffix in ("csv", "json", "kept"):
        path = kept_of(run).with_suffix(f".{suffix}")
        shutil.copy(path, path.with_name(f"other.{suffix}"))
    (run / "records/other.json").write_text("{")
    (limits,), err = written(run, capsys)
    assert doubts(limits) == ["Other records of this run are damaged and left out: other.csv."]
    assert "damaged" in err


def test_such_a_card_can_be_verified(run, capsys):
    gone(kept_of(run))
    written(run, capsys)
    assert main(["verify", str(run.parents[2] / "card/card.json"), "--numbers"]) == 3
    out = capsys.readouterr().out
    assert "is missing, which the header names" in out
    assert "derived again, it is another value" not in out
