"""The bar bounds the forward passes of an attack, which no image of a robust network exceeds."""

import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import APGD, BIM, DDN, FMN, PGD
from robust.evaluation.progress.attacking import _most
from robust.evaluation.suite import Suite
from robust.threat import ThreatModel

LOSSES = ["log_odds", "margin"]
ATTACKS = {
    "pgd": lambda view: PGD(view, eps=1e-4, steps=9),
    "restarts": lambda view: PGD(view, eps=1e-4, steps=9, restarts=3, loss=LOSSES, far_steps=4),
    "falling": lambda view: PGD(view, eps=1e-4, steps=9, restarts=2, falling=True),
    "bim": lambda view: BIM(view, eps=1e-4, steps=9),
    "apgd": lambda view: APGD(view, eps=1e-4, steps=9),
    "samples": lambda view: APGD(view, eps=1e-4, steps=9, restarts=2, samples=3),
    "ddn": lambda view: DDN(view, steps=9),
    "fmn": lambda view: FMN(view, steps=9),
    "theirs": lambda view: torchattacks.PGD(view, eps=1e-4, steps=9),
    "their_apgd": lambda view: torchattacks.APGD(view, eps=1e-4, steps=9, n_restarts=2, eot_iter=2),
    "momentum": lambda view: torchattacks.MIFGSM(view, eps=1e-4, steps=9),
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    nn.init.normal_(network[1].weight, std=1e-3)
    # Next to constant, so that no attack ends before its last step.
    nn.init.normal_(network[1].bias)
    return network


@pytest.mark.parametrize("name", ATTACKS)
def test_no_image_takes_more_passes(name, network):
    norm = "L2" if name in ("ddn", "fmn") else "Linf"
    suite = Suite("s", {name: ATTACKS[name]}, ThreatModel(norm, 1e-4))
    passes = []
    network.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    x = torch.rand(6, 1, 8, 8)
    y = network(x).argmax(dim=1)
    passes.clear()
    ATTACKS[name](network)(x, y)
    most = _most(suite.infos[name])
    assert sum(passes) <= 6 * most
    assert sum(passes) > 6 * most // 2  # it is worth to be told


def test_a_bound_in_queries_is_that(network):
    suite = Suite("s", {"square": lambda view: torchattacks.Square(view, eps=0.1, n_queries=70)},
                  ThreatModel("Linf", 0.1))  # fmt: skip
    assert _most(suite.infos["square"]) == 70


def test_other_attacks_have_none(network):
    suite = Suite("s", {"cw": lambda view: torchattacks.CW(view)}, ThreatModel("L2", 1.0))
    assert _most(suite.infos["cw"]) is None
