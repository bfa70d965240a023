"""Random targets, unbounded threat models, and who judges: what the suites of papers ask for."""

import torch

from robust.attacks import DDN, PGD, sample_seeds
from robust.defenses import Standard
from robust.evaluation.targets import random_targets
from robust.results.records import read_evaluation
from robust.results.tables import comparison
from robust.threat import ThreatModel
from tests.support.factories import EPS, evaluate, linear


def targeted(data, tmp_path, block, seed=0):
    arguments = {
        "attacks": {
            "pgd": lambda m: PGD(m, EPS, steps=2, early_stop=False),
            "ddn": lambda m: DDN(m, steps=2),
        },
        "threat_models": {"ddn": ThreatModel("L2", 1.0)},
        "targets": {"pgd": "random", "ddn": "random"},
        "views": ["deployed"],
        "records": str(tmp_path / f"records{block}"),
    }
    return evaluate(data, tmp_path, block=block, seed=seed, **arguments)[0]


def test_random_targets_belong_to_images_and_not_to_attacks_or_blocks(data, tmp_path):
    small, large = targeted(data, tmp_path, block=4), targeted(data, tmp_path, block=7)
    steps = [
        [row._replace(seconds=0.0) for row in result.select("deployed", "pgd")]
        for result in (small, large)
    ]
    assert steps[0] == steps[1]
    targets = {name: [r.target for r in small.select("deployed", name)] for name in ("pgd", "ddn")}
    assert targets["pgd"] == targets["ddn"]
    assert set(targets["pgd"]) == {0, 1, 2}
    assert all(row.target != row.label for row in small.rows)
    assert all(row.attacked == (row.clean_pred == row.label) for row in small.rows)
    other = targeted(data, tmp_path, block=7, seed=1)
    assert [r.target for r in other.select("deployed", "pgd")] != targets["pgd"]


def test_random_targets_are_uniform_over_the_other_classes():
    index = torch.arange(9000)
    labels = index % 10
    targets = random_targets(sample_seeds(3, index), labels, 10)
    places = torch.zeros(10, 10).index_put((labels, targets), torch.ones(()), accumulate=True)
    assert places.diagonal().eq(0).all()
    others = places[~torch.eye(10, dtype=torch.bool)]
    # 900 images of each class, 100 of each pair expected: chi-squared with 80 degrees of freedom.
    assert ((others - 100).square() / 100).sum() < 125


def test_unbounded_attacks_succeed_at_any_distance(data, tmp_path):
    arguments = {
        "attacks": {"ddn": lambda m: DDN(m, steps=20)},
        "threat_model": ThreatModel("L2", float("inf")),
    }
    result, _ = evaluate(data, tmp_path, **arguments)
    info = result.header.attacks["ddn"]
    attacked = result.rows.where(result.rows["attacked"])
    assert info.succeeded(attacked).all()
    assert attacked["l2"].max() > EPS
    (path,) = (tmp_path / "records").glob("*.csv")
    assert read_evaluation(path).header == result.header
    assert "ddn L2 unbounded." in comparison({"run": result}).notes[-1]
    to_random = targeted(data, tmp_path, block=7)
    assert "pgd Linf 0.3 to a random class" in comparison({"run": to_random}).notes[-1]


def test_the_published_attacker_is_judged_by_what_they_saw(data, tmp_path):
    class Hidden(Standard):
        """Its paper's attacker saw a network that is wrong about every image."""

        def published_view(self):
            network = linear()
            network[1].weight.data = -network[1].weight.data
            return network

    arguments = {
        "attacks": {"ddn": lambda m: DDN(m, steps=5)},
        "threat_model": ThreatModel("L2", float("inf")),
        "views": ["deployed", "published"],
    }
    result, _ = evaluate(data, tmp_path, Hidden(linear()), **arguments)
    assert any(row.l2 > 0 for row in result.select("deployed", "ddn"))
    # What is misclassified from the start is returned as it is.
    assert all(row.l2 == 0 for row in result.select("published", "ddn"))
