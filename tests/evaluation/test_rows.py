"""Rows by column: as they are written, and in the order of files."""

import csv
import random

import numpy as np
import pytest

from robust.evaluation.records import Evaluation
from robust.evaluation.rows import Row, Rows
from tests.evaluation.factories import header, info, row, rows


def written(path, found, head=True):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if head:
            writer.writerow(Row._fields)
        writer.writerows(found)
    return path


def test_a_file_is_read_as_it_was_written(tmp_path):
    found = [
        row(3, attack='a, "b" #1', linf=0.1 + 0.2, l2=1e-300, l0=float("inf"), target=7),
        row(4, attack="c", view="published", clean=1, clean_tie=True, adv_tie=True),
    ]
    back = Rows.read(written(tmp_path / "x.csv", found), ['a, "b" #1', "c"])
    assert list(back) == found
    assert [type(value) for value in back[0]] == [type(value) for value in found[0]]


@pytest.mark.parametrize("head", [True, False])
def test_half_a_line_at_the_end_is_left_out(tmp_path, head):
    path = written(tmp_path / "x.csv", rows(1, 3), head)
    path.write_text(path.read_text()[:-4])
    assert list(Rows.read(path, ["fgsm"])) == rows(1, 3)[:2]


@pytest.mark.parametrize("text", ["", "view,attack,index\n", "deployed,fgsm"])
def test_files_without_a_whole_row(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    assert list(Rows.read(tmp_path / "x.csv", ["fgsm"])) == []


@pytest.mark.parametrize("text", ["deployed,fgsm,1\n", "deployed,fgsm" + ",x" * 14 + "\n"])
def test_what_is_no_row_is_refused(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match=r"row 1|at row 0"):
        Rows.read(tmp_path / "x.csv", ["fgsm"])


def test_a_name_that_is_too_long_is_not_taken_for_a_known_one(tmp_path):
    back = Rows.read(written(tmp_path / "x.csv", rows(0, 1, attack="fgsm_2")), ["fgsm"])
    assert Evaluation(header(fgsm=info()), back).select("deployed", "fgsm") == []


def test_rows_come_in_order_whatever_order_they_had():
    found = [
        r for v in ("deployed", "adaptive") for a in "ba" for r in rows(0, 5, view=v, attack=a)
    ]
    random.Random(0).shuffle(found)
    assert Rows.of(found).ordered() == sorted(found, key=lambda row: row[:3])
    inner = rows(0, 3, attack="a") + rows(0, 3, attack="b") + rows(0, 3, attack="a")
    assert [r.attack for r in Rows.of(inner).ordered()] == ["a"] * 6 + ["b"] * 3


def test_rows_in_order_are_not_copied():
    found = Rows.of(sorted(rows(0, 3) + rows(0, 3, view="adaptive")))
    assert found.ordered() is found
    assert Rows.of(found) is found


def test_columns_slices_and_choices():
    found = Rows.of(rows(2, 5))
    assert found["adv_pred"].tolist() == [1, 1, 0, 0, 0]
    assert list(found[1:3]) == rows(2, 5)[1:3]
    assert list(found.where(found["adv_pred"] == 1)) == rows(2, 5)[:2]
    assert found[-1] == rows(2, 5)[-1]
    assert found != rows(1, 5)
    assert len(Rows.of([])) == 0
    assert Rows.of([])["index"].dtype == np.int64
