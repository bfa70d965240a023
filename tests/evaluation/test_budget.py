"""A suite under another eps or norm, and what attacks inherit of their threat model."""

from dataclasses import replace
from functools import partial

import pytest
import torchattacks

from robust.attacks import DDN, FGSM, PGD, RandomFGSM, Square
from robust.errors import ConfigError
from robust.evaluation.budget import within
from robust.evaluation.suite import Suite
from robust.loading.suites import evaluation_of_suite, read_suite
from robust.threat import ThreatModel
from tests.support.tiny import ROOT

QUICK = ROOT / "configs/suites/quick.yaml"
LINF = ThreatModel("Linf", 0.2)


def suite_of(threat_model=LINF, **attacks):
    return Suite("test", attacks, threat_model)


def arguments(suite, attack, *keys):
    return tuple(suite.infos[attack].arguments[key] for key in keys)


@pytest.mark.parametrize("kind", [PGD, Square, torchattacks.APGD, torchattacks.Square])
def test_an_attack_has_the_eps_and_the_norm_of_its_threat_model(kind):
    suite = suite_of(ThreatModel("L2", 0.7), a=kind, b=partial(kind, eps=0.7, norm="L2"))
    assert arguments(suite, "a", "eps", "norm") == (0.7, "L2")
    assert suite.infos["a"] == suite.infos["b"]


def test_an_attack_inherits_of_its_own_threat_model_first():
    suite = Suite("t", {"a": PGD, "b": PGD}, LINF, {"b": ThreatModel("L2", 3.0)})
    assert arguments(suite, "a", "eps", "norm") == (0.2, "Linf")
    assert arguments(suite, "b", "eps", "norm") == (3, "L2")


def test_an_attack_of_another_eps_than_its_threat_model_is_refused():
    with pytest.raises(ConfigError, match=r"the eps of its threat model, 0\.2, but got 0\.1"):
        suite_of(a=partial(PGD, eps=0.1))
    with pytest.raises(ConfigError, match="to bound Linf"):
        suite_of(a=partial(PGD, norm="L2"))


@pytest.mark.parametrize(
    ("attack", "alpha"),
    [
        (partial(PGD, steps=10), 2.5 * 0.1 / 10),
        (partial(PGD, alpha=0.04), 0.02),
        (torchattacks.PGD, (2 / 255) * (0.1 / (8 / 255))),
        (RandomFGSM, None),  # it keeps what is left of eps
    ],
)
def test_a_step_keeps_its_share_of_eps(attack, alpha):
    changed = within(suite_of(a=attack), 0.1).suite
    eps, found = arguments(changed, "a", "eps", "alpha")
    assert eps == 0.1
    assert found == pytest.approx(0.1 - 0.05 / 3 if alpha is None else alpha)


def test_all_attacks_of_quick_follow_eps():
    quick = read_suite(QUICK)
    changed = within(quick, 8 / 255)
    assert changed.notes == []
    assert str(changed.suite.threat_model) == "Linf 0.03137"
    for name in quick.attacks:
        assert changed.suite.infos[name].eps == 8 / 255
        assert arguments(changed.suite, name, "eps") == (8 / 255,)
    assert quick.on("digits").threat_model == LINF
    assert within(quick, 0.2).suite.infos == quick.infos == within(quick).suite.infos


def test_a_given_step_of_a_file_is_scaled():
    strong = read_suite(ROOT / "configs/suites/strong_mnist.yaml")
    assert arguments(strong, "pgd", "eps", "alpha") == (0.2, 0.02)
    assert arguments(within(strong, 0.1).suite, "pgd", "eps", "alpha") == (0.1, 0.01)


def test_an_attack_keeps_the_threat_model_that_it_names():
    attacks = {"own": partial(PGD, eps=0.2), "listed": PGD, "free": PGD, "nearest": DDN}
    suite = Suite("t", attacks, LINF, {"listed": LINF, "nearest": ThreatModel("L2", 1.0)})
    changed = within(suite, 0.1)
    assert {name: info.eps for name, info in changed.suite.infos.items()} == {
        "own": 0.2,
        "listed": 0.2,
        "free": 0.1,
        "nearest": 1,
    }
    assert changed.notes == ["attacks that keep their own threat model: own, listed, nearest."]


def test_eps_of_a_minimal_attack_is_that_of_its_threat_model():
    changed = within(suite_of(ThreatModel("L2", 1.0), a=DDN), 0.5).suite
    assert (changed.infos["a"].eps, changed.infos["a"].minimal) == (0.5, True)


def test_a_norm_leaves_out_what_does_not_bound_it():
    changed = within(read_suite(QUICK), 0.5, "L2")
    assert list(changed.suite.infos) == ["pgd", "square"]
    assert {info.budget for info in changed.suite.infos.values()} == {"L2 0.5"}
    assert arguments(changed.suite, "pgd", "norm") == ("L2",)
    assert changed.notes == ["left out, since they do not bound L2: fgsm."]
    _, said = within(read_suite(QUICK).on("digits"), norm="L2").notes
    assert said == "eps 0.2 of the suite is now of L2; give eps another value."


def test_an_attack_that_names_its_norm_keeps_it():
    changed = within(suite_of(a=partial(PGD, norm="Linf"), b=PGD), 0.5, "L2").suite
    assert {name: info.budget for name, info in changed.infos.items()} == {
        "a": "Linf 0.2",
        "b": "L2 0.5",
    }


@pytest.mark.parametrize(
    ("eps", "norm", "message"),
    [
        (-1.0, None, "`eps` to be non-negative, but got -1"),
        (float("nan"), None, "`eps` to be non-negative, but got nan"),
        (float("inf"), None, "`eps` of attack `fgsm` to be finite"),
        (8.0, None, "Did you mean 8/255"),
        (3.0, "L0", "that bound L0, but got fgsm, pgd, square, which do not"),
    ],
)
def test_a_threat_model_that_no_attack_has_is_one_line(eps, norm, message):
    with pytest.raises(ConfigError, match=message) as caught:
        within(read_suite(QUICK), eps, norm)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_suite_whose_attacks_all_name_their_eps_is_not_changed():
    with pytest.raises(ConfigError, match=r"each has its own \(a\)"):
        within(suite_of(a=partial(PGD, eps=0.2)), 0.1)
    same = within(suite_of(a=partial(PGD, eps=0.2)), 0.2).suite
    assert same.infos["a"].eps == 0.2


def test_targets_go_with_their_attacks():
    suite = replace(suite_of(a=FGSM, b=PGD), targets={"b": 1, "a": 2})
    assert within(suite, 0.5, "L2").suite.targets == {"b": 1}
    assert suite.only(["a"]).targets == {"a": 2}


def test_a_suite_of_plain_values_inherits():
    content = {
        "suite": "mine",
        "threat_model": {"norm": "L2", "eps": 0.5},
        "attacks": {
            "a": {"class_path": "robust.attacks.PGD"},
            "b": {"class_path": "torchattacks.Square", "init_args": {"n_queries": 5}},
        },
    }
    suite = evaluation_of_suite(content).suite
    for name in suite.infos:
        assert arguments(suite, name, "eps", "norm") == (0.5, "L2")
