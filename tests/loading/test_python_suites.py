"""Suites that Python names: by a short name, a path, or as the mapping that a file would hold."""

import pytest
import torch

from robust.attacks import Attack
from robust.errors import ConfigError
from robust.loading.suites import evaluation_of_suite
from robust.loading.trust import granted
from tests.support.tiny import ROOT

QUICK = ROOT / "configs/suites/quick.yaml"


class Own(Attack):
    """An attack of a user, who names it themselves."""

    def __init__(self, model: torch.nn.Module, eps: float = 8 / 255) -> None:
        super().__init__(model)
        self.eps = eps


def suite_of(*args, **settings):
    return evaluation_of_suite(*args, **settings).suite


def test_a_name_and_a_path_are_one():
    by_name, by_path = suite_of("quick", limit=3), suite_of(QUICK, limit=3)
    assert by_name.infos == by_path.infos
    assert (by_name.name, by_name.limit) == ("quick", 3)
    assert list(suite_of("quick", ["pgd"]).infos) == ["pgd"]


def test_a_mapping_of_attacks_is_a_suite_and_stays_as_it_is():
    attacks = {"a": {"class_path": "robust.attacks.PGD", "init_args": {"eps": "8/255"}}}
    copy = {"a": {**attacks["a"], "init_args": dict(attacks["a"]["init_args"])}}
    assert suite_of(attacks).infos["a"].arguments["eps"] == 8 / 255
    assert suite_of({"suite": "mine", "attacks": attacks}).name == "mine"
    assert attacks == copy


def test_classes_of_a_mapping_are_the_users_own_word(monkeypatch):
    monkeypatch.setenv("ROBUST_TRUST", "")
    own = {"a": {"class_path": f"{__name__}.Own"}}
    assert suite_of(own).infos["a"].name == "Own"
    assert granted() == ()


@pytest.mark.parametrize("attacks", [{}, {"a": {"class_path": "robust.attacks.PG"}}, {"a": 3}])
def test_what_is_no_suite_is_one_line(attacks):
    with pytest.raises(ConfigError) as caught:
        suite_of(attacks)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300
