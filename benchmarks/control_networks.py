"""The networks of `controls.py`: some hide their gradient, and some hide nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import robust
from robust.attacks import PGD
from robust.transforms import Binarize

EPS = 0.05
"""Of digits: there, undefended networks have something left."""
CERTIFIED = {
    "Wong 0.1": ("wong_mnist_linf_0.1.pth", 0.1),
    "Wong 0.3": ("wong_mnist_small_linf_0.3.pth", 0.3),
}


class Control(NamedTuple):
    """A network, and whether it hides its gradient."""

    network: nn.Module
    hides: bool
    logits: nn.Module
    """What an attacker climbs who knows it."""
    data: str = "digits"
    budget: robust.ThreatModel = robust.ThreatModel("Linf", EPS)


class Shaped(nn.Module):
    """A function of the scores of a network, which is not known to be a defense."""

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, x: Tensor) -> Tensor:
        """Return what the function makes of the scores."""
        return self.function(self.network(x))


class Before(nn.Module):
    """A function of the images comes before a network."""

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of what the function makes of the images."""
        return self.network(self.function(x))


class Winners(nn.Module):
    """A fifth of the values stays (Xiao et al. 2020, https://arxiv.org/abs/1905.10510)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the values, or zero."""
        least = x.topk(x.shape[1] // 5, dim=1).values[:, -1:]
        return x * (x >= least)


class OtherView(robust.Defense):
    """A defense whose adaptive view is that of another network."""

    def __init__(self, network: nn.Module, other: nn.Module) -> None:
        super().__init__(network)
        self.other = [other]

    def training_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy."""
        return nn.functional.cross_entropy(self(x), y)

    def adaptive_view(self) -> nn.Module:
        """Return the other network."""
        return self.other[0]


def dense(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a small network for digits."""
    hidden = [nn.Linear(784, 128), activation(), nn.Linear(128, 64), activation()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))


def fit(defense: robust.Defense, epochs: int = 20) -> robust.Defense:
    """Train a defense on digits."""
    return robust.fit(defense, robust.ImageDataModule("digits"), epochs, progress=False)


def plain(seed: int = 0) -> nn.Sequential:
    """Return an undefended network."""
    torch.manual_seed(seed)
    network = dense()
    robust.fit(
        robust.Standard(network), robust.ImageDataModule("digits"), seed=seed, progress=False
    )
    return network


def shaped(function: Callable[[Tensor], Tensor]) -> Control:
    """Return the undefended network behind a function of its scores."""
    network = plain()
    return Control(Shaped(network, function), True, network)


def one_hot(scores: Tensor) -> Tensor:
    """Return zeros and ones."""
    return nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).float()


def defended(
    defense: robust.Defense, *, hides: bool, epochs: int = 20, eps: float = EPS
) -> Control:
    """Return a defense with the view that it names."""
    view = fit(defense, epochs).adaptive_view()
    return Control(defense, hides, view, budget=robust.ThreatModel("Linf", eps))


def trained_by_pgd(eps: float) -> Control:
    """Return a network that was trained on adversarial images."""
    attack = lambda view: PGD(view, eps, steps=7)  # noqa: E731
    return defended(robust.AdversarialTraining(dense(), attack=attack), hides=False, eps=eps)


def trades(eps: float) -> Control:
    """Return a network whose predictions were trained to stay."""
    return defended(robust.Trades(dense(), eps=eps, alpha=eps / 4, steps=7), hides=False, eps=eps)


def inside(defense: robust.Defense) -> Control:
    """Return a defense in a network that nobody knows to be one."""
    view = fit(defense).adaptive_view()
    return Control(Shaped(defense, lambda scores: scores), True, view)


def interpolated() -> robust.WNLL:
    """Return a network whose classes are interpolated from training images."""
    template = {"template_size": 200, "linear_epochs": 15, "wnll_epochs": 5}
    return robust.WNLL(_wide, width=64, **template)


def four_levels() -> Control:
    """Return a network behind a quantization that nobody told of."""
    network = plain()
    return Control(Before(network, lambda x: torch.round(3 * x) / 3), True, network)


def noisy() -> Control:
    """Return a network that adds noise to its images."""
    network = plain()
    return Control(Before(network, lambda x: x + 0.2 * torch.randn_like(x)), True, network)


def binarized() -> Control:
    """Return a network behind a binarization, under a budget in L2."""
    defense = fit(robust.Standard(dense(), transform=Binarize()))
    budget = robust.ThreatModel("L2", 0.7)
    return Control(defense, True, defense.adaptive_view(), budget=budget)


def winners() -> Control:
    """Return a network of which few values stay."""
    network = dense(Winners)
    fit(robust.Standard(network))
    return Control(network, True, network)


def other_view() -> Control:
    """Return a defense with a wrong view."""
    network = plain()
    return Control(OtherView(network, plain(seed=1)), True, network)


def certified(name: str, folder: Path) -> Control:
    """Return a network of Wong and Kolter 2018, whose robustness is proved."""
    file, eps = CERTIFIED[name]
    content = torch.load(folder / file, map_location="cpu", weights_only=True)
    states = content.get("state_dict", content)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    network.load_state_dict(states[0] if isinstance(states, list) else states)
    return Control(network, False, network, "mnist", robust.ThreatModel("Linf", eps))


def controls(folder: Path) -> dict[str, Callable[[], Control]]:
    """Return what makes each control; the certified ones only where there are files."""
    found: dict[str, Callable[[], Control]] = {
        "log-softmax": lambda: shaped(lambda z: z.log_softmax(dim=1)),
        "probabilities": lambda: shaped(lambda z: z.softmax(dim=1)),
        "logits x 1000": lambda: shaped(lambda z: 1000 * z),
        "sigmoid(50 z)": lambda: shaped(lambda z: torch.sigmoid(50 * z)),
        "one-hot": lambda: shaped(one_hot),
        "k winners": winners,
        "noise": noisy,
        "quantized, no view": four_levels,
        "squeezed inside": lambda: inside(robust.Squeezed(dense())),
        "distilled": lambda: defended(robust.Distillation(dense()), hides=True, epochs=40),
        "codewords": lambda: defended(robust.Codewords(_wide), hides=True),
        "WNLL": lambda: defended(interpolated(), hides=True),
        "WNLL inside": lambda: inside(interpolated()),
        "binarized, L2": binarized,
        "view of another": other_view,
        "plain": lambda: defended(robust.Standard(dense()), hides=False),
        "PGD-trained 0.05": lambda: trained_by_pgd(0.05),
        "PGD-trained 0.1": lambda: trained_by_pgd(0.1),
        "TRADES 0.05": lambda: trades(0.05),
        "TRADES 0.1": lambda: trades(0.1),
    }
    there = {name for name, (file, _) in CERTIFIED.items() if (folder / file).exists()}
    return found | {name: (lambda name=name: certified(name, folder)) for name in sorted(there)}


def _wide(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, outputs))
