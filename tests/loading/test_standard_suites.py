"""The suites of `configs/suites/`: each is one word, and each runs on any number of classes."""

from itertools import product

import pytest
import torch
from torch import nn

from robust.attacks import craft
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.errors import ConfigError
from robust.evaluation.budget import within
from robust.loading.suites import evaluation_of_suite
from robust.threat import ThreatModel
from tests.support.cases import of_all
from tests.support.data_files import write_npz
from tests.support.factories import evaluate
from tests.support.short_suites import shorten_auto_attack, shortened

NAMES = (
    "standard",
    "strong",
    "rand",
    "minimal",
    "l1",
    "black_box",
    "transfer",
    "torchattacks",
    "torchattacks_l2",
    "quick",
)


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Images of ten classes, whose brightest row is the class, and what classifies them."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with torch.no_grad():
        network[1].bias.zero_()
        network[1].weight.copy_(torch.eye(28)[:10].repeat_interleave(28, dim=1))
    folder = tmp_path_factory.mktemp("ten")
    path = write_npz(folder / "ten.npz", shape=(28, 28), classes=10)
    return ImageDataModule(str(path), eval_batch_size=10), Standard(network)


def suite_of(name):
    return evaluation_of_suite(name).suite


@pytest.mark.parametrize("name", NAMES)
def test_one_word_and_the_eps_of_the_data_set(name):
    suite = suite_of(name)
    norm = suite.threat_model.norm
    eps = {"Linf": 8 / 255, "L2": 0.5, "L1": 12.0}[norm]
    assert suite.name == name
    assert suite.on("cifar10").threat_model == ThreatModel(norm, eps)
    assert {info.eps for info in suite.on("cifar10").infos.values()} == {eps}
    if name == "quick":
        assert suite.on("bars.npz").threat_model == ThreatModel("Linf", 0.2)
    else:
        with pytest.raises(ConfigError, match=f"an eps for suite {name} on bars"):
            suite.on("bars.npz")


BOTH = [name for name in NAMES if name != "l1"]
OWN = [(name, "L2" if name in ("minimal", "torchattacks_l2") else "Linf") for name in BOTH]


@pytest.mark.parametrize(
    ("name", "norm"),
    of_all(product(BOTH, ["Linf", "L2"]), default=[*OWN, ("quick", "L2"), ("minimal", "Linf")]),
)
def test_it_runs_in_both_norms(name, norm, ten, tmp_path, monkeypatch):
    """What does not bound the norm is left out."""
    shorten_auto_attack(monkeypatch)
    data, defense = ten
    changed = within(shortened(suite_of(name)), 0.2, norm).suite
    left_out = {
        ("quick", "L2"): {"fgsm"},
        ("transfer", "L2"): {"mifgsm"},
        ("minimal", "Linf"): {"ddn", "cw"},
        ("torchattacks", "L2"): {"pgd"},
        ("torchattacks_l2", "Linf"): {"pgd", "cw"},
    }.get((name, norm), set())
    assert set(suite_of(name).attacks) - set(changed.attacks) == left_out
    asked = {"attacks": dict(changed.attacks), "threat_model": changed.threat_model}
    result, _ = evaluate(data, tmp_path, defense, **asked, limit=6, views=["adaptive"])
    assert {info.budget for info in result.header.attacks.values()} == {f"{norm} 0.2"}
    for attack in changed.attacks:
        assert len(result.select("adaptive", attack)) == 6


@pytest.mark.parametrize(("attack", "norm"), [("autoattack", "Linf"), ("square", "L2")])
def test_what_torchattacks_cannot_do_is_one_line(attack, norm, data, tmp_path):
    """Its AutoAttack needs ten classes, and its Square in L2 larger images."""
    changed = within(shortened(suite_of("torchattacks")), 0.01, norm).suite.only([attack])
    asked = {"attacks": dict(changed.attacks), "threat_model": changed.threat_model}
    with pytest.raises(ConfigError, match="fails on these images") as caught:
        evaluate(data, tmp_path, **asked, limit=6)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_standard_is_autoattack_and_restarts_beside_it():
    infos = suite_of("standard").on("mnist").infos
    arguments = infos["autoattack"].arguments
    assert {key: arguments[key] for key in ("steps", "targets", "queries")} == {
        "steps": 100,
        "targets": 9,
        "queries": 5000,
    }
    assert infos["restarts"].arguments["loss"] == ["margin", "log_odds"]
    assert infos["restarts"].arguments["restarts"] == 10
    assert infos["momentum"].arguments["decay"] == 1.0
    assert infos["momentum"].arguments["steps"] == 300
    assert infos["far"].arguments["far_steps"] == 10


def test_rand_averages_twenty_calls():
    infos = suite_of("rand").infos
    assert [info.arguments["samples"] for info in infos.values()] == [20, 20]
    assert [info.arguments["loss"] for info in infos.values()] == ["cross_entropy", "dlr"]


def test_minimal_attacks_give_curves():
    assert all(info.minimal for info in suite_of("minimal").infos.values())


def test_no_attack_of_black_box_asks_for_a_gradient():
    class Blind(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                return x.flatten(1)[:, :4].clone()

    x = torch.rand(3, 1, 4, 4)
    y = Blind()(x).argmax(dim=1)
    for attack in within(shortened(suite_of("black_box")), 0.3).suite.builders.values():
        craft(attack, Blind(), x, y)


@pytest.mark.parametrize(("name", "norm"), [("l1", "L1"), ("sparse", "L0"), ("minimal", "L1")])
def test_suites_of_other_norms_run(name, norm, ten, tmp_path):
    data, defense = ten
    changed = within(shortened(suite_of(name)), 20.0, norm).suite
    left = {"minimal": {"fmn"}}.get(name, set(suite_of(name).attacks))
    assert set(changed.attacks) == left
    asked = {"attacks": dict(changed.attacks), "threat_model": changed.threat_model}
    result, _ = evaluate(data, tmp_path, defense, **asked, limit=4, views=["adaptive"])
    assert {info.budget for info in result.header.attacks.values()} == {f"{norm} 20"}
    rows = result.rows
    assert (rows["l1"] <= rows["linf"] * 784).all()
    assert (rows["l1"] >= rows["l2"] - 1e-9).all()
    assert rows["l1"].any()


def test_classes_of_torchattacks_are_its_own():
    for name in ("torchattacks", "torchattacks_l2"):
        for build in suite_of(name).builders.values():
            assert type(build(nn.Linear(1, 1))).__module__.startswith("torchattacks.")
