"""Carlini and Wagner's attack in L2 works on class scores or on codewords.

Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, section V. The codeword objective is that
of Saito and Roy 2018, for networks whose outputs are decoded to the nearest codeword.
"""

import math
from typing import Literal, NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robust.attacks.base import Attack
from robust.attacks.judging import confirmed, is_adversarial, mask_class, normalized
from robust.attacks.views import Rescale
from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.types import Images, Labels, Scores

# tanh(w) is cut off here, and stretched so that the cut lies at the pixels 0 and 1.
_CUT = 0.98
_BETAS = (0.9, 0.999)
_BISECTIONS = 6
# Of c between rounds, once an adversarial image is known, and before that.
_GROWTH, _FIRST_GROWTH = 1.5, 2.0


@runtime_checkable
class HasCodebook(Protocol, metaclass=ByAttribute):
    """Such a view decodes its outputs to the class of the nearest codeword."""

    codebook: Tensor
    """The codewords, (K, d), one a class."""

    def outputs(self, x: Images) -> Float[Tensor, "n d"]:
        """Return what is compared to the codewords, differentiable."""
        ...


class _State(NamedTuple):
    """These are the images still worked on; every field has one row for each."""

    rows: Tensor
    x: Tensor
    label: Tensor
    w: Tensor
    mean: Tensor
    square: Tensor
    c: Tensor
    best: Tensor
    nearest: Tensor
    idle: Tensor

    def part(self, chosen: Tensor) -> "_State":
        return _State(*(field[chosen] for field in self))


@final
class CarliniWagner(Attack):
    r"""CarliniWagner finds a near adversarial image in L2, by penalty and change of variables.

    Adam minimizes :math:`\|x' - x\|_2^2 + c \max(f(x') + \kappa, 0)` over w, where
    :math:`x' = (\tanh(w) / 0.98 + 1) / 2`. The margin f is the label's score minus the best other,
    or the best other minus the target's. With ``objective="codeword"`` the scores are replaced by
    minus the Euclidean distances of the outputs to the codewords. Targeted, f is then the distance
    to the target's codeword minus that to the nearest other. A view without a codebook has the
    one-hot vectors for codewords, as the paper's other networks, and its scores for outputs.

    Departures from the paper's code, each for speed or scale:

    * w is kept where x' is in [0, 1]. The pixels 0 and 1 are then exact and can move: the slope
      dx'/dw is 0.02 there. With the authors' 0.999999 it is 0.000001, and Adam needs hundreds of
      steps to leave them.
    * c starts at :math:`2 (f + \kappa) / \|\nabla f\|^2`, which is right for a linear f; it makes
      the result independent of the scale of the scores.
    * A round of the search over c goes on where the last ended, with Adam's moments. The learning
      rate falls to a hundredth on a cosine over all rounds, or over each if c is given.
    * c is divided by 1.5 after a round with an adversarial image in its second half, and multiplied
      by it after another round. A bracket would mislead: what succeeded from one start says little
      of the next.
    * The way between an image and its adversarial one is bisected at the end, six times.

    Some images are returned unchanged: those that are misclassified, those where the gradient of f
    is zero, and those for which nothing was found with ``-f >= confidence``.

    Args:
        model: View to attack; may be a `HasCodebook`.
        confidence: :math:`\kappa`, in units of the scores; of a `Rescale`, before they are shrunk.
            There f does not saturate, and c could not follow a factor that changes on the way.
        c: First weight of the margin; None for the one above. Until an adversarial image is known
            it doubles at each round. If a number is given, it grows by 10, as the authors'.
        search_steps: Rounds of the search over c.
        steps: Adam's steps of a round, a forward and a backward pass each.
        lr: Adam's learning rate at the start, in units of w.
        abort_early: Whether an image leaves when two rounds have not brought its adversarial one
            nearer by a thousandth.
        objective: ``scores`` or ``codeword``.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        confidence: float = 0.0,
        c: float | None = None,
        search_steps: int = 9,
        steps: int = 10,
        lr: float = 0.1,
        abort_early: bool = True,
        objective: Literal["scores", "codeword"] = "scores",
    ) -> None:
        super().__init__(model)
        for name, count in (("search_steps", search_steps), ("steps", steps)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        if not 0 <= confidence < math.inf:
            raise ConfigError(f"Expected `confidence` to be non-negative, but got {confidence}.")
        if c is not None and not 0 < c < math.inf:
            raise ConfigError(
                f"Expected `c` to be positive, but got {c}. Leave it out to have it estimated."
            )
        if not 0 < lr < math.inf:
            raise ConfigError(f"Expected `lr` to be positive, but got {lr}.")
        if objective not in ("scores", "codeword"):
            raise ConfigError(
                f"Expected `objective` to be scores or codeword, but got {objective!r}."
            )
        self.norm = "L2"
        self.confidence, self.c = confidence, c
        self.search_steps, self.steps, self.lr = search_steps, steps, lr
        self.abort_early, self.objective = abort_early, objective

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        label = labels if target is None else target
        result = images.clone()
        with torch.no_grad():
            remaining = ~is_adversarial(self._scores(images), labels, target)
        state = self._start(images, label, remaining.nonzero().squeeze(1))
        for number in range(self.search_steps):
            if not len(state.rows):
                break
            state, succeeded = self._round(state, number)
            result[state.rows] = state.best
            state = self._adjusted(state, succeeded)
            if self.abort_early:
                state = state.part(state.idle < 2)
        result = self._bisected(images, result, label)
        return confirmed(self._scores, images, result, labels, target)

    def _start(self, images: Images, label: Labels, rows: Tensor) -> _State:
        x, label = images[rows], label[rows]
        infinite = x.new_full((len(x),), torch.inf)
        c, movable = self._first_c(x, label) if len(x) else (infinite, infinite < 0)
        w = torch.atanh((2 * x - 1) * _CUT)
        still = torch.zeros_like(x)
        state = _State(rows, x, label, w, still, still, c, x, infinite, torch.zeros_like(rows))
        return state.part(movable)

    def _first_c(self, x: Images, label: Labels) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        x = x.detach().requires_grad_()
        excess = self._margin(self._scores(x), label) + self.confidence
        (gradient,) = torch.autograd.grad(excess.sum(), x)
        _, size = normalized(gradient)
        # No image is farther than the box's diagonal: a flat margin asks for more.
        distance = (excess.detach().clamp_min(0) / size).clamp_max(x[0].numel() ** 0.5)
        movable = size > 0
        if self.c is not None:
            return torch.full_like(size, self.c), movable
        c = 2 * distance / size
        # A tie has no distance.
        return c.clamp(torch.finfo(c.dtype).tiny, 1e30), movable

    def _round(self, state: _State, number: int) -> tuple[_State, Bool[Tensor, " n"]]:
        """Take Adam's steps at the present c; say which were adversarial in the second half."""
        x, label, c = state.x, state.label, state.c.view(-1, 1, 1, 1)
        w, mean, square = state.w, state.mean, state.square
        best, nearest = state.best, state.nearest
        succeeded = torch.zeros_like(label, dtype=torch.bool)
        limit = math.atanh(_CUT)
        for step in range(self.steps):
            tanh = w.tanh()
            x_adv = ((tanh / _CUT + 1) / 2).clamp(0, 1).requires_grad_()
            scores = self._scores(x_adv)
            margin = self._margin(scores, label) + self.confidence
            (gradient,) = torch.autograd.grad(margin.clamp_min(0).sum(), x_adv)
            x_adv = x_adv.detach()
            found = self._found(scores, margin, label)
            if 2 * step >= self.steps - 1:
                succeeded = succeeded | found
            distance = (self.nearest_alike(x, x_adv) - x).flatten(1).norm(dim=1)
            better = found & (distance < nearest)
            nearest = torch.where(better, distance, nearest)
            best = torch.where(better.view(-1, 1, 1, 1), x_adv, best)
            slope = (1 - tanh.square()) / (2 * _CUT)
            descent = (2 * (x_adv - x) + c * gradient.nan_to_num(0, 0, 0)) * slope
            mean, square, change = self._adam(mean, square, descent, number * self.steps + step)
            w = (w - change).clamp(-limit, limit)
        idle = torch.where(nearest < 0.999 * state.nearest, 0, state.idle + 1)
        # What has not been found yet is still being looked for.
        idle = idle.where(nearest.isfinite(), 0)
        state = state._replace(w=w, mean=mean, square=square, best=best, nearest=nearest, idle=idle)
        return state, succeeded

    def _adam(
        self, mean: Tensor, square: Tensor, gradient: Tensor, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the moments after a gradient, and the change of w. Kingma and Ba 2015."""
        first, second = _BETAS
        mean = mean.lerp(gradient, 1 - first)
        square = square.lerp(gradient.square(), 1 - second)
        # A c that is given may be far too small, and the rounds in which it has grown need speed.
        total = self.search_steps * self.steps if self.c is None else self.steps
        lr = self.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * (step % total) / total)) / 2)
        size = (square / (1 - second ** (step + 1))).sqrt() + 1e-8
        return mean, square, lr * mean / (1 - first ** (step + 1)) / size

    def _adjusted(self, state: _State, succeeded: Bool[Tensor, " n"]) -> _State:
        growth = _FIRST_GROWTH if self.c is None else 10.0
        factor = torch.where(state.nearest.isfinite(), _GROWTH, growth)
        c = torch.where(succeeded, state.c / factor, state.c * factor)
        return state._replace(c=c.clamp(torch.finfo(c.dtype).tiny, 1e30))

    @torch.no_grad()
    def _bisected(self, x: Images, x_adv: Images, label: Labels) -> Images:
        """Bisect the way from ``x_adv`` to ``x``, for the images that were moved."""
        rows = (x_adv != x).flatten(1).any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return x_adv
        result = x_adv.clone()
        x, delta, label = x[rows], x_adv[rows] - x[rows], label[rows]
        inside, outside = delta.new_zeros(len(rows)), delta.new_ones(len(rows))
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            scores = self._scores(x + delta * middle.view(-1, 1, 1, 1))
            found = self._found(scores, self._margin(scores, label) + self.confidence, label)
            inside, outside = (
                torch.where(found, inside, middle),
                torch.where(found, middle, outside),
            )
        moved = outside.view(-1, 1, 1, 1)
        result[rows] = torch.where(moved < 1, (x + delta * moved).clamp(0, 1), result[rows])
        return result

    def _scores(self, x: Images) -> Scores:
        if self.objective == "scores" and isinstance(self.model, Rescale):
            return self.model(x, shrink=False)  # type: ignore[no-any-return]
        if self.objective == "scores":
            return self.get_logits(x)  # type: ignore[no-any-return]
        if isinstance(self.model, HasCodebook):
            outputs, codebook = _outputs(self.model, x), self.model.codebook.to(x.dtype)
        else:
            outputs = self.get_logits(x)
            codebook = torch.eye(outputs.shape[1], dtype=x.dtype, device=x.device)
        # The product form of the distance loses all digits next to a codeword.
        return -torch.cdist(
            outputs.to(x.dtype),
            codebook,
            compute_mode="donot_use_mm_for_euclid_dist",
        )

    def _margin(self, scores: Scores, label: Labels) -> Float[Tensor, " n"]:
        """Return the margin of each image, negative where the attack succeeds."""
        own = scores.gather(1, label.view(-1, 1)).squeeze(1)
        gap = own - mask_class(scores, label).amax(dim=1)
        return -gap if self.targeted else gap

    def _found(self, scores: Scores, excess: Tensor, label: Labels) -> Bool[Tensor, " n"]:
        success = is_adversarial(scores, label, label if self.targeted else None)
        return success & (excess <= 0)


def _outputs(view: HasCodebook, x: Images) -> Float[Tensor, "n d"]:
    """Return the view's outputs, by a call of the module, so that its hooks count the pass."""
    own = vars(view).get("forward")
    view.forward = view.outputs  # type: ignore[attr-defined]
    try:
        return view(x)  # type: ignore[no-any-return,operator]
    finally:
        if own is None:
            del view.forward  # type: ignore[attr-defined]
        else:
            view.forward = own  # type: ignore[attr-defined]
