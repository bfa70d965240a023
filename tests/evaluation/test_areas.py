"""A mask or a patch confines attacks, whether a call, a suite or a flag gives it."""

from functools import partial

import numpy as np
import pytest
import torch

import robust
from robust.attacks import PGD
from robust.commands.train import RobustCLI
from robust.errors import ConfigError
from robust.evaluation.checks import check_suite
from robust.loading.suites import evaluation_of_suite
from robust.threat import ThreatModel
from tests.support.tiny import Plain, TinyNetwork, arguments

MASK = torch.zeros(28, 28).bool()
MASK[10:14, 9:20] = True
ROWS = MASK.int().tolist()
AREAS = {"mask": ROWS, "patch": 3}
SUITE = """
suite: mine
threat_model: {{norm: L2, eps: 2, {}}}
attacks:
  pgd: {{class_path: robust.attacks.PGD, init_args: {{steps: 2}}}}
  fmn: {{class_path: robust.attacks.FMN, init_args: {{steps: 2}}}}
"""


@pytest.fixture(scope="module")
def asked():
    """A network and images that it classifies correctly."""
    network = Plain(TinyNetwork())
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return network, x, network(x).argmax(dim=1)


@pytest.mark.parametrize(
    "mask", [ROWS, MASK, MASK.float(), MASK.numpy(), np.array(ROWS)], ids=lambda mask: type(mask)
)
def test_a_call_takes_any_mask(asked, mask):
    x_adv = robust.attack("pgd", *asked, eps=0.3, steps=2, mask=mask)
    moved = (x_adv != asked[1]).any(dim=1)
    assert moved.any()
    assert not (moved & ~MASK).any()


def test_a_call_takes_a_patch_and_arrays(asked):
    network, x, y = asked[0], asked[1].numpy(), asked[2].numpy()
    x_adv = robust.attack("pgd", network, x, y, norm="L2", eps=1, steps=2, mask=4)
    moved = (x_adv != x).any(axis=1)
    assert 0 < moved.sum(axis=(1, 2)).max() <= 16
    ThreatModel("L2", 1.0, patch=4).check(*map(torch.tensor, (x, x_adv)), "pgd")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (MASK[0], r"`mask` to be ones and zeros of shape \(H, W\), but got \(28,\)"),
        (MASK.float() / 2, "but got other values"),
        ("left", "`mask`"),
        ([[1, 0], [1]], "`mask`"),
        (MASK[10:14], "`mask` of 28 x 28 pixels.*but got 4 x 28"),
        (~MASK & MASK, "at least a one"),
        (0, "`patch` to be at least 1"),
        (29, "`patch` that fits into images of 28 x 28"),
        (2.5, "`patch` to be an integer"),
        (True, "`patch` to be an integer"),
    ],
)
def test_what_is_no_area_is_one_line(asked, mask, message):
    with pytest.raises(ConfigError, match=message) as caught:
        robust.attack("pgd", *asked, steps=1, mask=mask)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("key", AREAS)
def test_a_mapping_and_a_file_say_the_same(key, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(SUITE.format(f"{key}: {AREAS[key]}"))
    attacks = {"pgd": {"class_path": "robust.attacks.PGD"}}
    mapping = {"attacks": attacks, "threat_model": {"norm": "L2", "eps": 2, key: AREAS[key]}}
    for suite in (file, mapping):
        check_areas(evaluation_of_suite(suite).suite, key)


@pytest.mark.parametrize("of", [np.array, torch.tensor, lambda rows: np.array(rows) * 1.0])
def test_a_mapping_takes_an_array(of):
    model = {"norm": "L2", "eps": 2, "mask": of(AREAS["mask"])}
    mapping = {"attacks": {"pgd": {"class_path": "robust.attacks.PGD"}}, "threat_model": model}
    check_areas(evaluation_of_suite(mapping).suite, "mask")


@pytest.mark.slow
@pytest.mark.parametrize("key", AREAS)
def test_a_flag_says_it_too(key, npz, tmp_path, quiet, monkeypatch):
    plain = tmp_path / "plain.yaml"
    plain.write_text(SUITE.format(""))
    monkeypatch.setattr(RobustCLI, "_run_subcommand", lambda self, command: None)
    flag = f"--evaluation.threat_model.{key}={AREAS[key]}"
    made = RobustCLI([*arguments(npz, tmp_path, plain, "Standard"), flag])
    check_areas(made.config_init["fit"]["evaluation"].suite, key)


def check_areas(suite, key):
    area = ThreatModel("L2", 2.0, **{key: AREAS[key]}).area
    assert {info.area for info in suite.infos.values()} == {area}


def test_one_attack_of_a_suite_has_a_patch_and_no_other():
    own = {"fmn": {"norm": "L2", "eps": 2, "patch": 2}}
    attacks = {name: {"class_path": f"robust.attacks.{name.upper()}"} for name in ("pgd", "fmn")}
    suite = {"attacks": attacks, "threat_model": {"norm": "L2", "eps": 2}, "threat_models": own}
    infos = evaluation_of_suite(suite).suite.infos
    assert {name: info.area for name, info in infos.items()} == {
        "pgd": "",
        "fmn": "in a patch of 2x2",
    }


@pytest.mark.parametrize("own", [False, True])
def test_what_does_not_fit_the_images_is_said_before_an_attack(own, npz):
    allowed = ThreatModel("Linf", 0.1, patch=29)
    models = {"threat_models": {"pgd": allowed}} if own else {"threat_model": allowed}
    suite = robust.Suite("mine", {"pgd": partial(PGD, eps=0.1)}, **models)
    with pytest.raises(ConfigError, match="`patch` that fits into images of 28 x 28"):
        check_suite(suite, robust.ImageDataModule(str(npz)))
