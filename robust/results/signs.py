"""Signs, in records alone, that a robust accuracy is not what it seems.

They are those of Athalye, Carlini and Wagner 2018 (https://arxiv.org/abs/1802.00420, section 3.1)
and Carlini et al. 2019 (https://arxiv.org/abs/1902.06705, section 5). Each is judged on one threat
model and on the worst case of several attacks. An attack that fails says nothing where another one
succeeds.
"""

from collections.abc import Callable, Collection, Iterator

import numpy as np

from robust.results.metrics import (
    Rate,
    clean_accuracy,
    not_finite_gradients,
    zero_gradients,
)
from robust.results.records import AttackInfo, Evaluation

BLACK_BOX = {"Square", "BoundaryAttack", "HopSkipJump", "Pointwise", "OnePixel", "Pixle"}
"""Attacks that see no gradient."""
_ITERATED = {"Strong"}
"""Their steps are no argument."""
SINGLE_STEP = {"FGSM", "TGSM", "RandomFGSM", "RFGSM", "FFGSM"}
"""Attacks of one step."""


def threat_models(evaluation: Evaluation) -> Iterator[tuple[str, Evaluation]]:
    """Yield the name of each threat model with its part of an evaluation, as the suite has them."""
    attacks = evaluation.header.attacks
    for budget in dict.fromkeys(info.budget for info in attacks.values()):
        yield budget, evaluation.of(n for n, i in attacks.items() if i.budget == budget)


def near_chance(evaluation: Evaluation) -> str:
    """Return that the clean accuracy may be that of a guess, else nothing.

    The guess is the commonest class. Nobody can tell where all images are of one class.
    """
    rows = evaluation.images()
    _, counts = np.unique(rows["label"], return_counts=True)
    clean = clean_accuracy(rows)
    if len(counts) < 2 or clean.interval[0] > counts.max() / len(rows):
        return ""
    share = 100 * counts.max() / len(rows)
    return f"clean accuracy {percent(clean)}, where the commonest class has {share:.1f} %"


def missed(part: Evaluation, view: str) -> str:
    """Return by how much the adaptive view finds more than another, beyond both intervals."""
    if view not in part.views:
        return ""
    seen, true = worst(part, view), worst(part, "adaptive")
    if not seen.is_above(true):
        return ""
    return f"robust accuracy {percent(seen)} {view}, {percent(true)} adaptive"


def weaker_than(part: Evaluation) -> str:
    """Return which view finds more than the adaptive one, beyond both intervals."""
    true = worst(part, "adaptive")
    for view in part.views:
        if view != "adaptive" and true.is_above(found := worst(part, view)):
            return (
                f"the adaptive view is the weaker one: robust accuracy {percent(true)} adaptive, "
                f"{percent(found)} {view}"
            )
    return ""


def weak_iteration(part: Evaluation) -> str:
    """Return which attack of one step finds more than all of many steps together."""
    return _beaten(part, SINGLE_STEP, " with one step")


def black_box(part: Evaluation) -> str:
    """Return which attack without gradients finds more than all with gradients together."""
    return _beaten(part, BLACK_BOX, ", which sees no gradient,")


def compares(part: Evaluation, kinds: Collection[str]) -> bool:
    """Return whether records have such attacks, and attacks of many steps with their goal."""
    return any(
        each.name in kinds and is_iterated(other) and each.target == other.target
        for each in part.header.attacks.values()
        for other in part.header.attacks.values()
    )


def no_gradient(part: Evaluation) -> str:
    """Return at how many images the adaptive view has no gradient, if these are most."""
    for name in part.header.attacks:
        rate = zero_gradients(part.select("adaptive", name))
        if rate.n and rate.value > 0.5:
            return f"the adaptive view has no gradient at {percent(rate)} of the images"
    return ""


def not_finite(part: Evaluation) -> str:
    """Return the attack with the most gradients that are not finite; one image is enough."""
    attacks = part.header.attacks
    rates = {name: not_finite_gradients(part.select("adaptive", name)) for name in attacks}
    name, rate = max(rates.items(), key=lambda item: item[1].hits)
    if not rate.hits:
        return ""
    return (
        f"the gradient of the adaptive view is not finite on {rate.hits} of {rate.n} images "
        f"({name})"
    )


def weak_attacks(part: Evaluation) -> Iterator[str]:
    """Yield each attack with gradients that finds less than another, beyond both intervals.

    That is a sign of the attack, and none of the network.
    """
    white = _names(part, lambda info: is_iterated(info) and info.target is None)
    left = {name: worst(part.of([name]), "adaptive") for name in white}
    for name, rate in left.items():
        best = min(left, key=lambda other: left[other].value)
        if rate.is_above(left[best]):
            yield (
                f"{name} is a weak attack here: robust accuracy {percent(rate)}, "
                f"under {best} {percent(left[best])}"
            )


def worst(part: Evaluation, *views: str) -> Rate:
    """Return the share of images that are robust under all attacks, through all of some views."""
    right = part.survivors(*views)[1]
    return Rate(int(right.sum()), len(right))


def percent(rate: Rate) -> str:
    """Return a rate as text."""
    return f"{100 * rate.value:.1f} %"


def _beaten(part: Evaluation, kinds: Collection[str], how: str) -> str:
    """Return which attack of such kinds beats all attacks of many steps that have its goal."""
    for name in _names(part, lambda info: info.name in kinds):
        target = part.header.attacks[name].target
        many = [
            each
            for each, info in part.header.attacks.items()
            if is_iterated(info) and info.target == target
        ]
        if not many:
            continue
        one, together = worst(part.of([name]), "adaptive"), worst(part.of(many), "adaptive")
        if together.is_above(one):
            return f"{name}{how} succeeds more often than {' and '.join(many)}"
    return ""


def is_iterated(info: AttackInfo) -> bool:
    """Whether an attack takes many steps along gradients."""
    steps = int(info.arguments.get("steps", 0))
    return info.name in _ITERATED or (info.name not in BLACK_BOX and steps > 1)


def _names(part: Evaluation, wanted: Callable[[AttackInfo], bool]) -> list[str]:
    return [name for name, info in part.header.attacks.items() if wanted(info)]
