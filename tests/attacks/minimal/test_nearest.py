"""FMN, PDPGD and SigmaZero against a linear oracle whose nearest image is known in each norm."""

import pytest
import torch

from robust.attacks import FMN, PDPGD, SigmaZero, craft
from robust.errors import ConfigError
from robust.threat import distance
from tests.support.oracles import LinearOracle

GAP = 0.3


class Uneven(LinearOracle):
    """Its weights differ, so that one pixel is the shortest way in L1 and in L0."""

    def __init__(self, channels=1):
        super().__init__(3, channels=channels)
        with torch.no_grad():
            self.w *= torch.linspace(0.2, 2.0, len(self.w))

    def samples(self, n):
        """Images whose score is GAP away from the boundary, and their labels."""
        x, y = super().samples(n)
        w = self.w.detach()
        off = (2 * y - 1) * GAP - (x.flatten(1) - 0.5) @ w
        return x + (off / w.square().sum()).view(-1, 1, 1, 1) * w.view(1, *self.shape), y

    def exact(self, norm):
        w = self.w.detach().abs()
        dual = {"Linf": w.sum(), "L2": w.norm(), "L1": w.max()}
        return 1.0 if norm == "L0" else (GAP / dual[norm]).item()


def of(attack, norm, **arguments):
    return norm, lambda m: attack(m, norm=norm, **arguments)


CASES = {
    **{f"FMN {norm}": of(FMN, norm, steps=40) for norm in ("Linf", "L2", "L1", "L0")},
    **{f"PDPGD {norm}": of(PDPGD, norm, steps=80, ratio=0.1) for norm in ("L1", "L2")},
    "SigmaZero": ("L0", lambda m: SigmaZero(m, steps=40)),
}


@pytest.mark.parametrize(
    ("name", "channels"),
    [*((name, 1) for name in CASES), ("FMN L1", 3), ("FMN L0", 3), ("SigmaZero", 3)],
)
def test_the_nearest_image_is_found_within_5_percent(name, channels):
    norm, attack = CASES[name]
    oracle = Uneven(channels)
    x, y = oracle.samples(4)
    assert torch.equal(oracle(x).argmax(dim=1), y)
    x_adv = craft(attack, oracle, x, y).x_adv
    assert torch.equal(oracle(x_adv).argmax(dim=1), 1 - y)
    lengths = distance(x, x_adv, norm)
    assert (lengths <= 1.05 * oracle.exact(norm)).all()
    assert (lengths >= 0.999 * oracle.exact(norm)).all()


@pytest.mark.parametrize(("norm", "bound"), [("L1", 1.1), ("L2", 1.05)])
@pytest.mark.slow
def test_pdpgd_is_near_with_its_own_arguments(norm, bound):
    oracle = Uneven()
    x, y = oracle.samples(4)
    x_adv = craft(lambda m: PDPGD(m, norm=norm), oracle, x, y).x_adv
    assert (distance(x, x_adv, norm) <= bound * oracle.exact(norm)).all()


@pytest.mark.parametrize("name", ["FMN L2", "FMN L0", "PDPGD L1", "SigmaZero"])
def test_it_is_found_towards_a_target_too(name):
    norm, attack = CASES[name]
    oracle = Uneven()
    x, y = oracle.samples(4)
    x_adv = craft(attack, oracle, x, y, target=1 - y).x_adv
    assert torch.equal(oracle(x_adv).argmax(dim=1), 1 - y)
    assert (distance(x, x_adv, norm) <= 1.05 * oracle.exact(norm)).all()


@pytest.mark.parametrize(
    ("attack", "arguments", "message"),
    [
        (FMN, {"steps": 1}, "`steps` to be at least 2"),
        (FMN, {"alpha": 0.0}, "`alpha` to be positive"),
        (FMN, {"gamma": 1.0}, "`gamma` to be between 0 and 1"),
        (PDPGD, {"steps": 1}, "`steps` to be at least 2"),
        (PDPGD, {"step": 0.0}, "`step` to be positive"),
        (PDPGD, {"ratio": float("inf")}, "`ratio` to be positive"),
        (SigmaZero, {"steps": 1}, "`steps` to be at least 2"),
        (SigmaZero, {"sigma": 0.0}, "`sigma` to be positive"),
        (SigmaZero, {"step": -1.0}, "`step` to be positive"),
        (SigmaZero, {"threshold": 1.5}, r"`threshold` to be in \[0, 1\]"),
    ],
)
def test_arguments_are_checked(attack, arguments, message):
    with pytest.raises(ConfigError, match=message):
        attack(LinearOracle(), **arguments)
