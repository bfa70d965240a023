"""Records say which images an attack gave up; those from before they could say it stay valid."""

import csv
import io

import pytest

from robust.results.metrics import robust_accuracy, summarize
from robust.results.records import Evaluation
from robust.results.rows import LATER, Row, Rows
from robust.results.stored.checksums import checksum, checksums
from robust.results.stored.intact import Check, block_text
from robust.results.tables import comparison
from tests.support.factories import header, info, row

ATTACK = {"strong": info("Strong")}
KEY = ("adaptive", "strong", 0)


def two(**rest):
    return [row(i, view="adaptive", attack="strong", **rest) for i in range(2)]


def before(rows, columns):
    """The file of rows of an earlier version, which had so many columns."""
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(Row._fields[:columns])
    lines.writerows(row[:columns] for row in rows)
    return text.getvalue().encode()


def test_the_checksum_of_earlier_versions_is_the_same():
    numbers = (0.1, 0.5, 3.0, 2.0, 0.25)
    rows = [
        Row("adaptive", "strong", i, 1, -1, True, 1, 1, False, False, False, *numbers)
        for i in range(2)
    ]
    # Before there was the column, by commit a853529.
    assert checksum(Rows.from_rows(rows)) == "a1866f703daa4b05"


def test_so_is_that_of_a_dropped_image_before_there_was_a_distance_in_l1():
    numbers = (0.1, 0.5, 3.0, 2.0, 0.25, False, True)
    rows = [
        Row("adaptive", "strong", i, 1, -1, True, 1, 1, False, False, False, *numbers)
        for i in range(2)
    ]
    # By commit 184fd76.
    assert checksum(Rows.from_rows(rows)) == "abd8c6188db711aa"


@pytest.mark.parametrize("changed", [{"dropped": True}, {"l1": 0.5}, {"dropped": True, "l1": 1.0}])
@pytest.mark.parametrize("last", [0, 1])
def test_a_changed_column_changes_the_checksum(last, changed):
    plain = two()
    changed = [plain[last]._replace(**changed), plain[1 - last]]
    ordered = Rows.from_rows(changed).ordered()
    assert checksum(ordered) != checksum(Rows.from_rows(plain))
    # A block does not depend on the others of its file.
    far = [r._replace(index=300 + r.index) for r in changed]
    both = checksums(Rows.from_rows([*plain, *far]).ordered(), 250)
    assert both[KEY] == checksum(Rows.from_rows(plain))


@pytest.mark.parametrize("lacking", range(LATER + 1))
def test_records_with_fewer_columns_are_believed(lacking):
    rows = two()
    sums = {KEY: frozenset([checksum(Rows.from_rows(rows))])}
    content = before(rows, len(Row._fields) - lacking)
    for damage in (b"", b"no row\r\n"):
        found = Check(ATTACK, 250).merged(content + damage, sums)
        assert list(found.rows) == rows
        assert found.checked.all()
        assert len(found.damage) == bool(damage)


def test_a_dropped_image_is_written_and_read():
    rows = [row(0, view="adaptive", attack="strong", dropped=True), two()[1]]
    (nothing, found) = Check(ATTACK, 250).part(block_text(Rows.from_rows(rows)).encode())
    assert not len(nothing.rows)
    assert list(found.rows) == rows
    assert found.checked.all()


def test_tables_and_metrics_say_how_many():
    rows = [row(0, view="adaptive", attack="strong", dropped=True), two()[1]]
    evaluation = Evaluation(header(**ATTACK), rows)
    notes = comparison({"a": evaluation}).notes
    (note,) = [note for note in notes if "dropped" in note]
    assert note.startswith("a: strong dropped 1 of 2 images (adaptive)")
    assert "`--suite standard`" in note
    assert summarize(evaluation)["test/dropped/adaptive/strong"] == 0.5
    assert robust_accuracy(rows, ATTACK["strong"]).value == 1
    without = Evaluation(header(**ATTACK), two())
    assert not any("dropped" in note for note in comparison({"net": without}).notes)
    assert not any("dropped" in key for key in summarize(without))
