"""The verdict says whether a robust accuracy can be believed, from records alone.

The signs of gradient masking are those of Athalye, Carlini and Wagner 2018
(https://arxiv.org/abs/1802.00420, section 3.1) and Carlini et al. 2019
(https://arxiv.org/abs/1902.06705, section 5).
"""

from itertools import product
from typing import Literal, NamedTuple

from robust.results.metrics import Rate, not_finite_gradients, success_rate, zero_gradients
from robust.results.records import AttackInfo, Evaluation, Target

_BLACK_BOX = {"Square", "BoundaryAttack", "HopSkipJump"}
_RANDOM = "two calls of the defense on the same images give other scores"
_SINGLE_STEP = {"FGSM", "TGSM", "RandomFGSM", "RFGSM", "FFGSM"}


class Verdict(NamedTuple):
    """A verdict says whether to believe the robust accuracy of a run.

    ``masked``: attacks succeed through the adaptive view where they fail through the deployed one.
    ``overstated``: the deployed view hides nothing, but the paper's attacker saw another view and
    missed what the adaptive one finds. ``suspect``: an attack behaves as it does on masked
    gradients, so a better one may exist, or the defense is random at test time. ``unverified``:
    there is no adaptive view in the records, or it does not average over the defense's randomness.
    ``no alarm``: none of that, which is no proof of robustness.
    """

    word: Literal["masked", "overstated", "suspect", "unverified", "no alarm"]
    reason: str

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


def verdict(evaluation: Evaluation) -> Verdict:
    """Return the verdict on an evaluation, from its records."""
    if "adaptive" not in evaluation.views:
        return Verdict("unverified", "no adaptive view was attacked")
    masked, overstated = (_missed(evaluation, view) for view in ("deployed", "published"))
    if masked or overstated:
        reason = "; ".join(filter(None, (masked, overstated)))
        return Verdict("masked" if masked else "overstated", reason)
    random = evaluation.header.random
    if random and not evaluation.header.averaged:
        return Verdict("unverified", f"{_RANDOM}, and no attack averaged over its randomness (EOT)")
    suspicions = [
        _weak_iteration(evaluation),
        _black_box(evaluation),
        _not_finite(evaluation),
        _zero_gradient(evaluation),
        _RANDOM if random else "",
    ]
    for reason in filter(None, suspicions):
        return Verdict("suspect", reason)
    return Verdict("no alarm", "")


def _rate(evaluation: Evaluation, view: str, attack: str) -> Rate:
    return success_rate(evaluation.select(view, attack), evaluation.header.attacks[attack])


def _above(one: Rate, other: Rate) -> bool:
    """Return whether the first rate is larger and their intervals do not overlap."""
    return one.interval[0] > other.interval[1]


def _percent(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} %"


def _missed(evaluation: Evaluation, view: str) -> str:
    """Return the attack that the adaptive view helps most, beyond both intervals; else nothing."""
    gaps = []
    for name in evaluation.header.attacks:
        seen, true = (_rate(evaluation, v, name) for v in (view, "adaptive"))
        if seen.n and _above(true, seen):
            gaps.append((true.value - seen.value, name, seen, true))
    if not gaps:
        return ""
    _, name, seen, true = max(gaps)
    return f"{name} succeeds on {_percent(seen)} {view}, {_percent(true)} adaptive"


def _weak_iteration(evaluation: Evaluation) -> str:
    attacks = evaluation.header.attacks
    for (one, single), (many, iterated) in product(attacks.items(), repeat=2):
        if single.name not in _SINGLE_STEP or _steps(iterated) <= 1:
            continue
        if _goal(single) != _goal(iterated):
            continue
        if _above(_rate(evaluation, "adaptive", one), _rate(evaluation, "adaptive", many)):
            return f"{one} with one step succeeds more often than {many}"
    return ""


def _black_box(evaluation: Evaluation) -> str:
    attacks = evaluation.header.attacks
    for (black, blind), (white, seeing) in product(attacks.items(), repeat=2):
        if blind.name not in _BLACK_BOX or _goal(blind) != _goal(seeing):
            continue
        if _steps(seeing) <= 1:
            continue
        if _above(_rate(evaluation, "adaptive", black), _rate(evaluation, "adaptive", white)):
            return f"{black}, which sees no gradient, succeeds more often than {white}"
    return ""


def _zero_gradient(evaluation: Evaluation) -> str:
    for name in evaluation.header.attacks:
        rate = zero_gradients(evaluation.select("adaptive", name))
        if rate.n and rate.value > 0.5:
            return f"the adaptive view has no gradient at {_percent(rate)} of the images"
    return ""


def _not_finite(evaluation: Evaluation) -> str:
    """Return the attack with the most gradients that are not finite; one image is enough."""
    attacks = evaluation.header.attacks
    rates = {name: not_finite_gradients(evaluation.select("adaptive", name)) for name in attacks}
    name, rate = max(rates.items(), key=lambda item: item[1].hits)
    if not rate.hits:
        return ""
    return (
        f"the gradient of the adaptive view is not finite on {rate.hits} of {rate.n} images "
        f"({name})"
    )


def _steps(info: AttackInfo) -> int:
    return int(info.arguments.get("steps", 0))


def _goal(info: AttackInfo) -> tuple[str, float, Target | None]:
    return info.norm, info.eps, info.target
