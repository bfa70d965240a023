"""Attacks run only here, fenced off from the training around them."""

import contextlib
import random
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.attacks.area import within_area
from robust.attacks.base import Attack
from robust.attacks.cells import cells_of
from robust.attacks.each_view import Crafted as Crafted
from robust.attacks.each_view import Samples, through_each
from robust.attacks.finite import NotFinite, finite_gradients
from robust.attacks.substitutes import attacked_in_cells
from robust.attacks.views import Several
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.types import AttackCallable, Images, Labels


def craft(
    attack: AttackCallable,
    view: nn.Module,
    x: Images,
    y: Labels,
    *,
    target: Labels | None = None,
    seed: int = 0,
    sample_seeds: Int64[Tensor, " n"] | None = None,
    judge: nn.Module | None = None,
    transferred: bool = False,
    allowed: ThreatModel | None = None,
) -> Crafted:
    """Run an attack on a view and leave everything else as it was.

    Attacks of torchattacks reseed the global random state, leave gradients on weights, set frozen
    submodules to train mode and fail in inference mode. Here the view is put in eval mode, and the
    random state is forked and seeded. Autocast is off, so the attack sees the precision of ``x``.
    Modes, gradients and random state are restored afterwards, also after an error. Gradients that
    are not finite are replaced by finite ones, as `finite_gradients` says.

    Where the view begins with a quantizing transform, a success of any attack is moved to the
    nearest image that is quantized alike (see `attacked_in_cells`). That is not done to images that
    are meant for another network.

    Args:
        attack: Builds the attack on ``view``.
        view: Module from pixels to class scores.
        x: Clean images in [0, 1]; not modified.
        y: Labels, or what the attacker takes for them.
        target: Class that each image shall become; None for an untargeted attack.
        seed: Seeds every random state that an attack may use.
        sample_seeds: One seed a sample, which our own attacks use instead. Then a result depends
            on the other samples of the batch only by the rounding of the view.
        judge: The network whose predictions say whether an attack succeeds, where our own attacks
            stop early; ``view`` if None.
        transferred: Whether the images are meant for another network, so that our own attacks
            should not stop at the first success on this one.
        allowed: A threat model whose ``mask`` or ``patch`` the attack shall keep to. Its norm and
            eps are for the attack to know.

    Raises:
        ValueError: If ``target`` is given and the attack has no targeted mode, or one of them is no
            class of the view.
        ConfigError: If an attack of torchattacks cannot work on so small images or few classes.
    """
    confined = allowed is not None and bool(allowed.area)
    if len(x) and (confined or isinstance(view, Several)):
        run = partial(craft, attack, seed=seed, transferred=transferred)
        samples = Samples(x, y, target, sample_seeds)
        with contextlib.redirect_stdout(None):
            built = attack(view)
        asked = view if judge is None else judge
        if isinstance(view, Several):
            run = partial(run, allowed=allowed)
            return through_each(run, built, view.each(), samples, asked)
        assert allowed is not None
        gradient = partial(_isolated_gradient, view, seed)
        return within_area(run, built, view, samples, asked, allowed, gradient)
    with isolated(view, x.device, seed), torch.autocast(x.device.type, enabled=False):
        # Tensors made in inference mode cannot enter a graph; their clones can.
        x, y = x.detach().clone(), y.detach().clone()
        with contextlib.redirect_stdout(None):  # torchattacks prints where there are no weights
            built = attack(view)
        built.set_device(x.device)
        if isinstance(built, Attack):
            built.sample_seeds = sample_seeds
            built.judge, built.transferred = judge, transferred
        if target is not None:
            goal = target.detach().clone()
            built.set_mode_targeted_by_function(lambda images, labels: goal, quiet=True)
        if not len(x):
            nothing = torch.zeros_like(y, dtype=torch.bool)
            return Crafted(x, 0.0, 0.0, nothing, nothing)
        if target is not None:
            _check_classes(goal, view, x[:2])
        cells = None if transferred else cells_of(view, x)
        if isinstance(built, Attack):
            built.cells = cells
        seen = NotFinite(len(x), x.device)
        with finite_gradients(view, seen):
            with _counted(view) as images_seen, _counted(judge) as images_judged:
                start = time.perf_counter()
                with _failures_told(built):
                    if cells is None:
                        x_adv = built(x, y).detach()
                    else:
                        x_adv = attacked_in_cells(built, view, cells, x, y, target, judge)
                seconds = time.perf_counter() - start
            if seen.any and x_adv.shape == x.shape:
                gradient_of(view, x_adv, y)  # `seen` takes note of all of them
        forwards = sum(images_seen) + sum(images_judged)
        dropped = vars(built).get("dropped", torch.zeros_like(seen.images))
        return Crafted(x_adv, forwards / len(x), seconds / len(x), seen.images, dropped)


@contextmanager
def _failures_told(attack: TorchAttack) -> Iterator[None]:
    """Raise a `ConfigError` for what torchattacks' own code raises."""
    try:
        yield
    except Exception as error:
        # Of memory there are other things to say.
        if not _is_raised_by_torchattacks(error) or isinstance(error, torch.OutOfMemoryError):
            raise
        raise ConfigError(
            f"torchattacks.{type(attack).__name__} fails on these images ({error}). It needs as "
            "many classes as its targets, ten by default, and images of a usual size. Leave it "
            "out, or take that of robust.attacks."
        ) from error


def _is_raised_by_torchattacks(error: Exception) -> bool:
    """Return whether the error is of its own code, not of a network or of torch."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("torchattacks.")


def _isolated_gradient(view: nn.Module, seed: int, x: Images, y: Labels) -> Images:
    with isolated(view, x.device, seed), torch.autocast(x.device.type, enabled=False):
        return gradient_of(view, x, y)


def gradient_of(view: nn.Module, x: Images, y: Labels) -> Images:
    """Return the gradient of the cross-entropy of ``view``, summed over the images."""
    x = x.detach().clone().requires_grad_()
    loss = F.cross_entropy(view(x), y, reduction="sum")
    if not loss.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(loss, x, allow_unused=True, materialize_grads=True)
    return gradient


@torch.no_grad()
def _check_classes(target: Labels, view: nn.Module, some: Float[Tensor, "m c h w"]) -> None:
    classes = view(some).shape[1]
    outside = target[(target < 0) | (target >= classes)]
    if len(outside):
        raise ValueError(
            f"Expected target classes from 0 to {classes - 1}, but got {int(outside[0])}. Choose "
            "among the classes of the view."
        )


@contextmanager
def isolated(view: nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """Turn gradients on, set eval mode, seed random state; restore everything on leaving."""
    modes = [(module, module.training) for module in view.modules()]
    gradients = [(parameter, parameter.grad) for parameter in view.parameters()]
    numpy_state, python_state = np.random.get_state(), random.getstate()
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    # Anomaly detection, meant for a training, raises where a gradient is not finite.
    plain = torch.autograd.set_detect_anomaly(False)
    with forked, torch.inference_mode(False), torch.enable_grad(), plain:
        # `torch.manual_seed` notes the stack for the GPUs: a tenth of the time on small networks.
        (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        for parameter, _ in gradients:
            parameter.grad = None
        view.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            for parameter, gradient in gradients:
                parameter.grad = gradient
            np.random.set_state(numpy_state)
            random.setstate(python_state)


@contextmanager
def _counted(module: nn.Module | None) -> Iterator[list[int]]:
    seen: list[int] = []
    if module is None:
        yield seen
        return
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        yield seen
    finally:
        handle.remove()
