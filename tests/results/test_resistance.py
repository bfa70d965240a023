"""Resistance counts an attack as failed by either of the paper's two conditions."""

import numpy as np
import pytest
import torch
from torch import nn

from robust.attacks.query.base import QueryAttack
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.results.cells import as_text
from robust.results.metrics import resistance
from robust.results.published.table import paper_table
from robust.threat import ThreatModel
from robust.transforms import Binarize
from tests.support.factories import evaluate, evaluation, info, rows


def test_is_what_the_attack_left():
    rate = resistance([*rows(3, 10), *rows(0, 1, label=1)], info())
    assert rate == (7, 10)  # the misclassified is not attacked


class Faint(nn.Module):
    """Class 1 as soon as a pixel is above a tenth."""

    def forward(self, x):
        score = x.flatten(1).amax(dim=1)
        return torch.stack([torch.full_like(score, 0.1), score], dim=1)


class Brighten(QueryAttack):
    """One pixel a little brighter, or to white."""

    def __init__(self, model, levels=(0.3, 1.0)):
        super().__init__(model)
        self.levels = levels

    def search(self, x, goals, repeats):
        def propose(place, repeats, k):
            candidates = x[place].clone()
            candidates[:, 0, 0, 0] = self.levels[k]
            return candidates

        return self.first_success(x, goals, repeats, len(self.levels), propose)[0]


def test_what_the_deployed_model_undoes_counts_as_failed(tmp_path):
    black = np.zeros((4, 4, 4), dtype=np.uint8)
    y = np.array([0, 0, 0, 0])
    np.savez(tmp_path / "x.npz", x_train=black, y_train=[0, 0, 0, 1], x_test=black, y_test=y)
    result, _ = evaluate(
        ImageDataModule(str(tmp_path / "x.npz")),
        tmp_path,
        Standard(Faint(), transform=Binarize()),
        attacks={"brighten": Brighten},
        threat_model=ThreatModel("L2", float("inf")),
        views=["deployed", "published"],
    )
    attack = result.header.attacks["brighten"]
    # Without the binarizer a faint pixel is enough, which the binarizer then takes away.
    assert resistance(result.select("published", "brighten"), attack) == (4, 4)
    assert resistance(result.select("deployed", "brighten"), attack) == (0, 4)


class TestTable:
    def table(self, **settings):
        return {
            "title": "T",
            "metric": "resistance",
            "view": "published",
            "columns": {"a": {"class_path": "robust.defenses.Standard"}},
            "clean_acc": {"a": None},
            "rows": {"row": {"attack": "fgsm", "published": {"a": 90}}},
            **settings,
        }

    @pytest.fixture
    def results(self):
        counts = {("deployed", "fgsm"): 150, ("published", "fgsm"): 40}
        return {"a": evaluation({"fgsm": info()}, counts)}

    def test_shows_both_protocols_beside_the_paper(self, results):
        grid = paper_table(self.table(beside="deployed"), results)
        assert grid.header == [
            "attack",
            "model",
            "paper",
            "ours, paper's attack",
            "difference",
            "agreement",
            "ours, deployed",
        ]
        name, column, paper, measured, *rest = map(as_text, grid.rows[1])
        difference, agrees, beside = rest
        assert (name, column, paper, difference) == ("row", "a", "90", "-10.00")
        assert agrees == "differs"
        assert measured.splitlines()[0] == "80.0"
        assert beside.splitlines()[0] == "25.0"

    def test_shows_parts_of_the_images_on_their_own(self, results):
        grid = paper_table(self.table(beside="deployed", draw=50), results)
        # The first 40 of 200 images are misclassified, and the first 150.
        assert as_text(grid.rows[1][3]).splitlines()[2] == "20.0 100.0 100.0 100.0"
        assert as_text(grid.rows[1][6]).splitlines()[2] == "0.0 0.0 0.0 100.0"
        assert any("each 50 images" in note for note in grid.notes)

    def test_of_one_part_there_is_no_third_line(self, results):
        grid = paper_table(self.table(draw=200), results)
        assert len(as_text(grid.rows[1][3]).splitlines()) == 2

    def test_says_which_images(self, results):
        assert any("200 test images" in note for note in paper_table(self.table(), results).notes)
