"""Wherever names are listed from which to choose, the nearest one is named."""

from types import SimpleNamespace

import pytest

import robust
from robust.attacks.base import check_choice
from robust.errors import ConfigError, nearest
from robust.evaluation.plan import plan
from robust.io.names import chosen
from robust.loading.trained_run import check_used
from robust.threat import ThreatModel

CASES = {
    "an argument of a defense": (
        lambda: check_used(
            {"temprature": 3}, [SimpleNamespace(defense=robust.Squeezed(robust.MLP()))]
        ),
        r"--model\.temperature",
    ),
    "an attack of a suite": (lambda: chosen(["fgsm", "pgd", "square"], ["pgdd"]), "pgd"),
    "a target": (lambda: plan({"pgd": robust.attacks.PGD}, ThreatModel(), {}, {"pdg": 1}), "pgd"),
    "a norm": (lambda: ThreatModel("linf"), "Linf"),
    "a loss of an attack": (lambda: check_choice("loss", "margn", ["margin", "dlr"]), "margin"),
    "a suite": (lambda: robust.Suite.load("quik"), "quick"),
    "a data set": (lambda: robust.ImageDataModule("mnst"), "mnist"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_typing_error(case):
    call, meant = CASES[case]
    with pytest.raises(ConfigError, match=rf"Did you mean {meant}\?") as error:
        call()
    assert len(str(error.value)) <= 300


def test_what_is_far_from_all_gets_no_hint():
    with pytest.raises(ConfigError) as error:
        chosen(["fgsm", "pgd"], ["zzz"])
    assert "Did you mean" not in str(error.value)
    assert nearest(3, [1, "two"]) == ""
