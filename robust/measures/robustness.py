"""What Zantedeschi et al. 2017 measure beside accuracy: robustness, distance and sensitivity.

https://arxiv.org/abs/1707.06728, section 4.1 and Tables 2 and 3. Paper and code (IBM's nemesis,
later the Adversarial Robustness Toolbox) differ in each of the three; here are both.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from robust import losses
from robust.attacks import MinimalFGSM, craft, isolated
from robust.data import ImageDataModule
from robust.data.module_arguments import usual_batch
from robust.defenses.base import Defense
from robust.errors import check_at_least
from robust.measures.nearest import nearest_distance
from robust.results.metrics import Mean, Rate
from robust.threat import distance
from robust.types import Images, Labels, Norm, View


class EmpiricalRobustness(NamedTuple):
    """Mean length of a perturbation relative to that of its image; NaN without images."""

    linf: float
    """Mean of ``|dx|_inf / |x|_inf``, as in the authors' code."""
    l2: float
    """Mean of ``|dx|_2 / |x|_2``: Eq. 2."""
    n: int


class TrainingDistance(NamedTuple):
    """Mean distance of adversarial images to the nearest training image; NaN without images."""

    l2: float
    """Euclidean, in pixel units, as in the paper."""
    squared: float
    """Mean of the squared distance over the clean image's ``|x|_2``, as in the authors' code."""
    n: int


class Sensitivity(NamedTuple):
    """Mean L2 norm of a gradient at the clean images; few carry it if the network is sure."""

    loss: Mean
    """Of the cross-entropy at the label: the paper's definition."""
    prediction: Mean
    """Of the softmax output of the predicted class: the authors' code."""
    n: int


class MinimalPerturbation(NamedTuple):
    """The outcome of a search for minimal perturbations of the test images."""

    accuracy: Rate
    """Share of all images that are of their true label afterwards."""
    changed: Rate
    """Share of all images whose prediction changed, also of those that were wrong before."""
    robustness: EmpiricalRobustness
    """Over all images; one that was left as it was counts as 0."""
    robustness_changed: EmpiricalRobustness
    distance: TrainingDistance
    """Of the images whose prediction changed."""


class Robustness(NamedTuple):
    """All of it through one view."""

    minimal: MinimalPerturbation
    published: MinimalPerturbation
    """By `published_minimal_fgsm`, which leaves images unattacked."""
    sensitivity: Sensitivity


def measure_robustness(
    defense: Defense,
    data: ImageDataModule,
    n: int | None = 1000,
    views: Sequence[View] = ("deployed", "adaptive"),
    *,
    step: float = 0.05,
    largest: float = 1.0,
    block: int = 250,
) -> dict[View, Robustness]:
    """Measure a defense through each view; its deployed scores say which predictions changed.

    As in the authors' code, misclassified images are attacked too, from their predicted class.
    Modes, gradients and random state are left as they were.

    Args:
        defense: On the device to compute on.
        data: Its first ``n`` test images are attacked; distances are to all its training images.
        n: Number of test images; all if None or more than there are.
        views: What FGSM and the sensitivity differentiate. Those that are one module are measured
            once.
        step: Distance of two eps of the search in pixel units, positive.
        largest: Last eps, at least ``step``.
        block: Images in a forward pass, positive. Another one rounds otherwise in float32, on CPU
            and CUDA alike. Means then agree to 1e-5 of themselves. Rates are equal unless two
            scores of an image are that close.

    Raises:
        ConfigError: If ``n``, ``step`` or ``largest`` is out of range.
    """
    if n is not None:
        check_at_least("n", n, 1)
    block = min(block, usual_batch(data.shape))
    x, y, _ = data.test_samples(0, data.test_size if n is None else min(n, data.test_size))
    measured: dict[nn.Module, Robustness] = {}
    results: dict[View, Robustness] = {}
    with isolated(defense, defense.device, seed=0):
        clean = predict(defense, x, block)
        for name in views:
            view = defense.view(name)
            if view not in measured:
                minimal, published = (
                    search(view, defense, x, clean, step, largest, block)
                    for search in (minimal_fgsm, published_minimal_fgsm)
                )
                measured[view] = Robustness(
                    _describe(defense, data, x, y, clean, minimal),
                    _describe(defense, data, x, y, clean, published),
                    loss_sensitivity(view, x, y, block),
                )
            results[name] = measured[view]
    return results


def empirical_robustness(x: Images, x_adv: Images) -> EmpiricalRobustness:
    """Mean relative length of ``x_adv - x`` in both norms; images without any light are left out.

    Zantedeschi et al. 2017, Eq. 2, after Moosavi-Dezfooli et al. 2016
    (https://arxiv.org/abs/1511.04599, Eq. 2).
    """
    linf, _ = _mean_ratio(distance(x, x_adv, "Linf"), _lengths(x, "Linf"))
    l2, n = _mean_ratio(distance(x, x_adv, "L2"), _lengths(x, "L2"))
    return EmpiricalRobustness(linf, l2, n)


def training_distance(
    x: Images,
    x_adv: Images,
    train: UInt8[Tensor, "m c h w"],
    device: torch.device | None = None,
) -> TrainingDistance:
    """Mean distance of ``x_adv`` to the nearest training image of all, exact (`nearest_distance`).

    Args:
        x: The clean images, whose lengths the authors' code divides by.
        x_adv: Adversarial images.
        train: Training images as bytes.
        device: Where to search; where ``x_adv`` is if None.
    """
    distances = nearest_distance(x_adv, train, device)
    squared, _ = _mean_ratio(distances.square(), _lengths(x, "L2").cpu())
    return TrainingDistance(distances.mean().item(), squared, len(x))


def loss_sensitivity(view: nn.Module, x: Images, y: Labels, block: int = 250) -> Sensitivity:
    """Mean norm of the input gradient of a view: Zantedeschi et al. 2017, section 4.1 and Table 3.

    Args:
        view: Module from pixels to class scores; its cross-entropy counts, also where it names an
            objective of its own.
        x: Images.
        y: True labels.
        block: Images in a forward pass.
    """
    device, norms = _device(view, x), []
    with isolated(view, device, seed=0), torch.autocast(device.type, enabled=False):
        for part, labels in _blocks(block, x, y):
            images = part.detach().to(device, copy=True).requires_grad_()
            scores = view(images)
            chosen = scores.argmax(dim=1, keepdim=True)
            outputs = (
                losses.cross_entropy(scores, labels.to(device)),
                scores.softmax(dim=1).gather(1, chosen),
            )
            gradients = [
                torch.autograd.grad(out.sum(), images, retain_graph=True)[0] for out in outputs
            ]
            norms.append(torch.stack([_lengths(gradient, "L2") for gradient in gradients]).cpu())
    of_loss, of_prediction = torch.cat(norms, dim=1).tolist()
    return Sensitivity(Mean.from_values(of_loss), Mean.from_values(of_prediction), len(x))


def minimal_fgsm(
    view: nn.Module,
    judge: nn.Module,
    x: Images,
    y: Labels,
    step: float = 0.05,
    largest: float = 1.0,
    block: int = 250,
) -> Images:
    """`robust.attacks.MinimalFGSM` block by block: each image at the first eps that succeeds.

    Args:
        view: What is differentiated.
        judge: The network whose predictions count.
        x: Images; the result is on the same device.
        y: Predictions of ``judge``, that the images shall leave.
        step: Distance of two eps in pixel units.
        largest: Last eps.
        block: Images in a forward pass.

    Raises:
        ConfigError: Unless 0 < ``step`` <= ``largest``.
    """
    device = _device(view, x)

    def crafted(x: Images, y: Labels) -> Images:
        other = None if judge is view else judge
        attack = partial(MinimalFGSM, step=step, largest=largest)
        return craft(attack, view, x.to(device), y.to(device), judge=other).x_adv.to(x.device)

    return torch.cat([crafted(*part) for part in _blocks(block, x, y)])


@torch.no_grad()
def published_minimal_fgsm(
    view: nn.Module,
    judge: nn.Module,
    x: Images,
    y: Labels,
    step: float = 0.05,
    largest: float = 1.0,
    block: int = 250,
) -> Images:
    """The search as published, with the error that shapes the paper's Table 2: no attack to use.

    Indices into the images that are left are taken for indices into all of them: from the third eps
    on the authors' code attacks the wrong images, soon none. It also keeps what changed nothing,
    and adds up eps in floating point, so that 0.05 to 1 ends at 0.95. A result depends on all
    images that are searched together.

    Arguments and result are those of `minimal_fgsm`.
    """
    signs = torch.cat([_signs(view, *part) for part in _blocks(block, x, y)])
    x_adv = x.clone()
    current = torch.arange(len(x), device=x.device)
    eps = step
    while len(current) and eps <= largest:
        x_adv[current] = (x[current] + eps * signs[current]).clamp(0, 1)
        unchanged = predict(judge, x_adv[current], block) == y[current]
        current = unchanged.nonzero().squeeze(1)  # the error: these are indices into `current`
        eps += step
    return x_adv


@torch.no_grad()
def predict(model: nn.Module, x: Images, block: int = 250) -> Labels:
    """Classes that ``model`` predicts, in blocks; on the device of ``x``."""
    device = _device(model, x)
    return torch.cat(
        [model(part.to(device)).argmax(dim=1).to(x.device) for part in torch.split(x, block)]
    )


def _describe(
    defense: Defense, data: ImageDataModule, x: Images, y: Labels, clean: Labels, x_adv: Images
) -> MinimalPerturbation:
    predicted = predict(defense, x_adv)
    changed = predicted != clean
    return MinimalPerturbation(
        accuracy=Rate(int((predicted == y).sum()), len(x)),
        changed=Rate(int(changed.sum()), len(x)),
        robustness=empirical_robustness(x, x_adv),
        robustness_changed=empirical_robustness(x[changed], x_adv[changed]),
        distance=training_distance(x[changed], x_adv[changed], data.train_images, defense.device),
    )


def _signs(view: nn.Module, x: Images, y: Labels) -> Images:
    device = _device(view, x)
    with isolated(view, device, seed=0):
        images = x.detach().to(device, copy=True).requires_grad_()
        loss = losses.cross_entropy(view(images), y.to(device)).sum()
        (gradient,) = torch.autograd.grad(loss, images)
    return gradient.sign().to(x.device)


def _blocks(size: int, x: Images, y: Labels) -> Iterator[tuple[Images, Labels]]:
    return zip(torch.split(x, size), torch.split(y, size), strict=True)


def _lengths(x: Images, norm: Norm) -> Float[Tensor, " n"]:
    return distance(torch.zeros_like(x), x, norm)


def _mean_ratio(lengths: Float[Tensor, " n"], images: Float[Tensor, " n"]) -> tuple[float, int]:
    kept = images > 0
    return (lengths[kept] / images[kept]).mean().item(), int(kept.sum())


def _device(model: nn.Module, x: Images) -> torch.device:
    parameter = next(model.parameters(), None)
    return x.device if parameter is None else parameter.device
