"""Rows by column: as they are written, and in the order of files."""

import csv
import io
import random

import numpy as np
import pytest

from robust.results.records import Evaluation
from robust.results.rows import Rows
from tests.support.factories import header, info, row, rows


def lines(found):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(found)
    return text.getvalue()


def test_rows_come_back_as_they_were_written():
    found = [
        row(3, attack='a, "b" #1', linf=0.1 + 0.2, l2=1e-300, l0=float("inf"), target=7),
        row(4, attack="c", view="published", clean=1, clean_tie=True, adv_tie=True),
    ]
    back = Rows.parse(lines(found), ['a, "b" #1', "c"])
    assert list(back) == found
    assert [type(value) for value in back[0]] == [type(value) for value in found[0]]


def test_of_no_lines_there_are_no_rows():
    assert list(Rows.parse("", ["fgsm"])) == []


@pytest.mark.parametrize("text", ["deployed,fgsm,1\n", "deployed,fgsm" + ",x" * 14 + "\n"])
def test_what_is_no_row_is_refused(text):
    with pytest.raises(ValueError, match=r"row 1|at row 0"):
        Rows.parse(text, ["fgsm"])


def test_a_name_that_is_too_long_is_not_taken_for_a_known_one():
    back = Rows.parse(lines(rows(0, 1, attack="fgsm_2")), ["fgsm"])
    assert Evaluation(header(fgsm=info()), back).select("deployed", "fgsm") == []


def test_rows_come_in_order_whatever_order_they_had():
    found = [
        r for v in ("deployed", "adaptive") for a in "ba" for r in rows(0, 5, view=v, attack=a)
    ]
    random.Random(0).shuffle(found)
    assert Rows.from_rows(found).ordered() == sorted(found, key=lambda row: row[:3])
    inner = rows(0, 3, attack="a") + rows(0, 3, attack="b") + rows(0, 3, attack="a")
    assert [r.attack for r in Rows.from_rows(inner).ordered()] == ["a"] * 6 + ["b"] * 3


def test_rows_in_order_are_not_copied():
    found = Rows.from_rows(sorted(rows(0, 3) + rows(0, 3, view="adaptive")))
    assert found.ordered() is found
    assert Rows.from_rows(found) is found


def test_columns_slices_and_choices():
    found = Rows.from_rows(rows(2, 5))
    assert found["adv_pred"].tolist() == [1, 1, 0, 0, 0]
    assert list(found[1:3]) == rows(2, 5)[1:3]
    assert list(found.where(found["adv_pred"] == 1)) == rows(2, 5)[:2]
    assert found[-1] == rows(2, 5)[-1]
    assert found != rows(1, 5)
    assert len(Rows.from_rows([])) == 0
    assert Rows.from_rows([])["index"].dtype == np.int64
