"""Checks of a network on some images: what it returns, how many classes, how accurate it is."""

import math

import torch
from torch import Tensor, nn

from robust.data import ImageDataModule
from robust.defenses import Pretrained
from robust.defenses.adapting.normalizations import accuracy, best_fit, in_pieces
from robust.errors import ConfigError, in_short
from robust.networks.foreign import Foreign, name_of
from robust.networks.outputs import outputs_of
from robust.types import Images, Labels
from robust.vocabulary import Outputs


def scores_of(network: Foreign, x: Images, data: ImageDataModule) -> Tensor:
    """Scores of two images, of which nothing is known yet.

    Raises:
        ConfigError: If there are none, with what the network returned instead.
    """
    try:
        with torch.no_grad():
            scores = network(x.clone())
    except Exception as error:  # of any network
        raise ConfigError(
            f"Expected a network for the {'x'.join(map(str, data.shape))} images of {data.name}, "
            f"but {network.called} does not take them ({in_short(error)}). Check their size and "
            "channels (--size, --channels), or choose other data."
        ) from None
    if isinstance(scores, tuple | list) and any(map(_are_scores, scores)):
        index = next(i for i, part in enumerate(scores) if _are_scores(part))
        raise ConfigError(
            f"Expected {network.called} to return one tensor of scores, but it returned a "
            f"{type(scores).__name__} of {len(scores)}. Wrap it: lambda x: network(x)[{index}]."
        )
    if isinstance(scores, Tensor) and (scores.ndim != 2 or scores.shape[1] < 2):
        shape = tuple(scores.shape)
        raise ConfigError(
            f"Expected {network.called} to return a score for each class, (N, K), but it returned "
            f"the shape {shape} for 2 images. Reshape its output, or give both classes a score."
        )
    if not isinstance(scores, Tensor):
        raise ConfigError(
            f"Expected {network.called} to return one tensor of scores, but it returned "
            f"{type(scores).__name__}. Return the scores alone."
        )
    return scores


def _are_scores(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2 and value.is_floating_point()


def check_classes(network: Foreign, count: int, data: ImageDataModule) -> None:
    """Raise unless there is a score for each class; arrays take the classes of the network.

    Raises:
        ConfigError: With both numbers.
    """
    if count == data.num_classes:
        return
    known = data.is_named or bool(data.class_names)
    if not known and count > data.num_classes:
        data.num_classes = count
        return
    labels = f"the {data.num_classes} classes of {data.name}"
    if not known:
        labels = f"labels up to {data.num_classes - 1}"
    raise ConfigError(
        f"Expected scores for {labels}, but {network.called} has {count} classes. "
        + (_EMPTY_CLASSES if known and data.class_names else _FROM_0)
    )


_FROM_0 = "Choose the data that it was trained on, and number the labels from 0."
_EMPTY_CLASSES = (
    "Choose data of the classes that it was trained on. Labels count by their numbers: a folder "
    "needs one for each class, which may be empty."
)


def set_outputs(
    defense: Pretrained, network: Foreign, x: Images, given: Outputs | None
) -> list[str]:
    """Set what a network returns, unless it was given, and return what is to be said of it.

    Raises:
        ConfigError: If something else was given than what it returns.
    """
    found = outputs_of(in_pieces(network, x))
    if given is None:
        defense.outputs_are = found
        is_usual = found == "logits"
        return [] if is_usual else [f"the network returns {found.replace('_', ' ')}."]
    if given == "logits" or given == found:
        return []
    raise ConfigError(
        f"Expected outputs that are {given.replace('_', ' ')}, but those of {network.called} are "
        f"{found.replace('_', ' ')}. Leave `outputs` out, and it is found."
    )


def check_gradient(defense: Pretrained, x: Images) -> list[str]:
    """Return what is to be said of a network whose scores have no gradient at any image.

    Probabilities that are exactly 0 and 1 have none, but their adaptive view may have one.

    Args:
        defense: The network, whose outputs are known.
        x: Some images.
    """
    some = x[:_FEW]
    if _has_gradient(defense, some):
        return []
    what = f"{name_of(defense.network)} has no gradient at {len(some)} images"
    if _has_gradient(defense.adaptive_view().eval(), some):
        return [f"{what}: attacks on the deployed view find nothing but by queries."]
    return [
        f"{what}, so gradient attacks on its scores find nothing: let --adaptive auto "
        '(view_from="auto" in Python) look for views, or give one with --view-from.'
    ]


def _has_gradient(network: nn.Module, x: Images) -> bool:
    some = x.clone().requires_grad_()
    # Weighted, since probabilities have one sum whatever the image.
    scores = network(some)
    weights = torch.arange(scores.shape[1], device=x.device).to(scores.dtype)
    if not scores.requires_grad:
        return False
    (gradient,) = torch.autograd.grad((scores * weights).sum(), some)
    return bool(gradient.abs().sum() > 0)


_FEW = 8


def check_accuracy(network: Foreign, x: Images, y: Labels, is_certain: bool = False) -> list[str]:
    """Notes on a clean accuracy that is suspiciously low.

    Args:
        network: Pixels to scores.
        x: Some images.
        y: Their labels.
        is_certain: Whether its normalization is known, so that no other is tried.

    Raises:
        ConfigError: If it is near chance, and another normalization makes it much better.
    """
    own = accuracy(network, x, y)
    chance = float(torch.bincount(y).max()) / len(y)  # of who always says the commonest class
    near = own <= chance + 3 * (chance * (1 - chance) / len(y)) ** 0.5 + 0.02
    if own > _GOOD:
        said = f"the clean accuracy on {len(x)} images is {own:.0%}"
        more = f"{said}, but {chance:.0%} of them are of one class. Take images of more classes."
        return [more] if near else []
    if is_certain:
        return [_said_of_chance(network, x, y, own)] if near else []
    every = max(1, len(x) // max(_FEWEST, _PIXELS // math.prod(x.shape[1:])))
    some, labels = x[::every], y[::every]
    before = own if every == 1 else accuracy(network, some, labels)
    best, reached = best_fit(network, some, labels)
    if reached >= before + max(_MUCH, _CHANCE / len(labels) ** 0.5):
        said = (
            f"the clean accuracy on {len(some)} images is {before:.0%}; with {best} it is "
            f"{reached:.0%}"
        )
        if near:
            raise ConfigError(
                f"Expected a network that classifies these images, but {said}. Give these."
            )
        return [f"{said}."]
    return [_said_of_chance(network, x, y, own)] if near else []


_PIXELS = 200 * 3 * 64 * 64
"""Numbers of all images with which normalizations are tried, each of which takes its time."""
_FEWEST = 32
_GOOD = 0.85
_MUCH = 0.1
_CHANCE = 2.0
"""Over the root of the number of images: the best of many is not so much better by luck."""


def _said_of_chance(network: Foreign, x: Images, y: Labels, own: float) -> str:
    from scipy.optimize import linear_sum_assignment

    predicted = in_pieces(network, x).argmax(dim=1)
    classes = int(max(predicted.max(), y.max())) + 1
    counts = torch.zeros(classes, classes)
    counts.index_put_((y.cpu(), predicted.cpu()), torch.ones(len(y)), accumulate=True)
    rows, columns = linear_sum_assignment(-counts.numpy())
    matched = float(counts[rows, columns].sum()) / len(y)
    said = f"near chance: the clean accuracy on {len(x)} images is {own:.0%}"
    if len(y) >= 5 * classes and matched > max(0.5, own + 3 * _MUCH):
        pairs = [f"{row} as {column}" for row, column in zip(rows, columns, strict=True)][:3]
        return (
            f"{said}; with its classes in another order it is {matched:.0%} (class "
            f"{', '.join(pairs)}, ...). Number the labels as in its training."
        )
    return f"{said}, and no usual normalization makes it much better. Check weights and labels."


def check_view(defense: Pretrained, x: Images) -> None:
    """Raise unless the adaptive view predicts as the network does, except for ties.

    Raises:
        ConfigError: With on how many images it does not.
    """
    if defense.adaptive is None:
        return
    try:
        view = defense.adaptive_view().eval()
        scores, seen = in_pieces(defense, x), in_pieces(view, x)
        differ = (scores.argmax(dim=1) != seen.argmax(dim=1)) & ~_tied(scores) & ~_tied(seen)
    except Exception as error:  # of any view
        raise ConfigError(
            f"Expected a view that takes the network and gives scores, but it failed "
            f"({in_short(error)}). Build it as MyView(network)."
        ) from None
    if seen.shape != scores.shape or differ.any():
        raise ConfigError(
            f"Expected a view that predicts like {defense.network.called}, but it differs on "
            f"{int(differ.sum())} of {len(x)} images. Change the gradient, not the prediction."
        )


def _tied(scores: Tensor) -> Tensor:
    best = scores.topk(2, dim=1).values
    return best[:, 0] - best[:, 1] <= 1e-5 * best[:, 0].abs()
