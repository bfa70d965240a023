"""Suites whose eps is that of the data set, until somebody gives another."""

import pytest
import torch
from lightning.pytorch import Trainer

from robust.attacks import PGD
from robust.defenses import Standard
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.budget import within
from robust.io.radius import with_radius
from robust.loading.suites import evaluation_of_suite, read_suite
from tests.support.factories import evaluate, linear
from tests.support.tiny import ROOT

OTHERS = {"Linf": {"other": 0.1}}
QUICK = ROOT / "configs/suites/quick.yaml"


def suite_of(threat_model, **keys):
    attacks = {"pgd": {"class_path": "robust.attacks.PGD", "init_args": {"steps": 2}}}
    content = {"suite": "own", "threat_model": threat_model, "attacks": attacks, **keys}
    return evaluation_of_suite(content).suite


@pytest.mark.parametrize(
    ("data", "norm", "budget"),
    [
        ("digits", "Linf", "Linf 0.2"),
        ("mnist", "Linf", "Linf 0.3"),
        ("fashion_mnist", "Linf", "Linf 0.1"),
        ("cifar10", "Linf", "Linf 8/255"),
        ("cifar100", "Linf", "Linf 8/255"),
        ("svhn", "Linf", "Linf 8/255"),
        ("mnist", "L2", "L2 1.5"),
        ("svhn", "L2", "L2 0.5"),
    ],
)
def test_the_eps_is_that_of_the_data_set(data, norm, budget):
    suite = suite_of({"norm": norm, "eps": "usual"}).on(data)
    assert with_radius(str(suite.threat_model)) == suite.infos["pgd"].budget == budget
    assert suite.on("cifar10") is suite


@pytest.mark.parametrize(
    ("data", "budget"),
    [("digits", "0.2"), ("mnist", "0.2"), ("bars.npz", "0.2"), ("fashion_mnist", "0.1")],
)
def test_quick_keeps_its_own(data, budget):
    assert str(read_suite(QUICK).on(data).threat_model) == f"Linf {budget}"


@pytest.mark.parametrize(("data", "norm"), [("bars.npz", "Linf"), ("moons", "L2")])
def test_where_none_is_usual_somebody_has_to_say_it(data, norm):
    suite = suite_of({"norm": "Linf", "eps": "usual"})
    with pytest.raises(ConfigError, match=f"suite own on {data}, but no {norm} radius") as caught:
        within(suite, norm=norm).suite.on(data)
    assert "\n" not in str(caught.value)
    assert within(suite, 0.05).suite.on(data).infos["pgd"].budget == "Linf 0.05"


def test_a_given_eps_stays_and_a_norm_takes_its_own():
    open_ = suite_of({"norm": "Linf", "eps": "usual"})
    assert str(within(open_, 0.05).suite.on("mnist").threat_model) == "Linf 0.05"
    changed = within(open_, norm="L2")
    assert changed.notes == []
    assert str(changed.suite.on("mnist").threat_model) == "L2 1.5"
    assert suite_of({"norm": "L2", "eps": 0.7}).on("mnist").infos["pgd"].budget == "L2 0.7"


def test_radii_of_a_suite_go_first():
    own = {"Linf": {"mnist": 0.1, "other": 0.07}, "L2": {"mnist": 2}}
    suite = suite_of({"norm": "Linf", "eps": "usual"}, eps_on=own)
    found = [str(suite.on(data).threat_model) for data in ("mnist", "svhn", "mine")]
    assert found == ["Linf 0.1", "Linf 0.03137", "Linf 0.07"]
    assert str(within(suite, norm="L2").suite.on("mnist").threat_model) == "L2 2"


@pytest.mark.parametrize(
    "own", [{"Linf": {"mnist": 8}}, {"L3": {"mnist": 1}}, {"Linf": {"mnist": "a"}}, {"Linf": 0.1}]
)
def test_radii_that_are_none_are_one_line(own):
    with pytest.raises(ConfigError) as caught:
        suite_of({"norm": "Linf", "eps": "usual"}, eps_on=own)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("named", [3, "usual", None, ["Linf", 0.1], {"eps": "usuall"}])
def test_a_threat_model_that_is_none_is_one_line(named):
    with pytest.raises(ConfigError, match=r"threat_model.*but got") as caught:
        suite_of(named)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_an_evaluation_takes_it_at_each_test(data, tmp_path):
    """The same evaluation may run on another data set later."""
    result, trainer = evaluate(
        data,
        tmp_path,
        attacks={"pgd": lambda m, eps=0.5: PGD(m, eps, steps=2)},
        threat_model=suite_of(
            {"norm": "Linf", "eps": "usual"}, eps_on={"Linf": {"other": 0.25}}
        ).threat_model,
    )
    assert result.header.attacks["pgd"].budget == "Linf 0.25"
    (evaluation,) = (c for c in trainer.callbacks if isinstance(c, AttackEvaluation))
    assert evaluation.replaced().suite.on("mnist").infos["pgd"].budget == "Linf 0.3"
    data.name = "mnist"
    evaluation.setup(trainer, trainer.lightning_module, "test")
    assert evaluation.suite.infos["pgd"].budget == "Linf 0.3"


def test_a_training_does_not_depend_on_the_eps_of_its_data(data):
    """Attacks are built on a small network of random weights to be checked."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = data
    evaluation = AttackEvaluation(suite_of({"norm": "Linf", "eps": "usual"}, eps_on=OTHERS))
    defense, before = Standard(linear()), torch.get_rng_state()
    evaluation.setup(trainer, defense, "fit")
    assert str(evaluation.suite.threat_model) == "Linf 0.1"
    assert torch.equal(torch.get_rng_state(), before)
