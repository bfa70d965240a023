"""The Python face: it trains, attacks, evaluates and loads in one call each."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from robust import attacks
from robust.attacks.by_name import Named, attack_builder
from robust.commands.python.answers import (
    answered,
    as_list,
    check_seed,
    checked,
    trainer_arguments,
)
from robust.commands.python.loaded_run import LoadedRun
from robust.commands.python.runs import (
    Asked,
    Budget,
    DescribedRun,
    number_of,
    test,
    tested_images,
    train,
)
from robust.data import ImageDataModule
from robust.data.arrays import area_of, images_of, labels_of
from robust.data.python_data import AnyData, check_named, module_of
from robust.defenses import (
    WNLL,
    AdversarialTraining,
    Codewords,
    Defense,
    Distillation,
    LabelSmoothing,
    Pretrained,
    Recall,
    Squeezed,
    Standard,
    Trades,
    VirtualAdversarial,
)
from robust.defenses.adapting.adapt import Given, prepared
from robust.defenses.sizes import take_sizes
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.attacked_once import AttackedOnce
from robust.evaluation.evidence.level import level_of
from robust.evaluation.plan import threat_model_of
from robust.io.text_files import named_path
from robust.loading.suites import AnySuite, Suite
from robust.loading.trained_run import TrainedRun
from robust.loading.trust import entries, trusting
from robust.networks import (
    MLP,
    BReLU,
    DenseNet,
    Normalize,
    ResNet,
    TunaCifarCNN,
    TunaMnistCNN,
    ZantedeschiCifarCNN,
    ZantedeschiCNN,
    ZantedeschiResNet,
)
from robust.networks.foreign import name_of
from robust.results.cells import Cell
from robust.results.result import Result
from robust.threat import ThreatModel
from robust.types import Norm, View
from robust.vocabulary import AskedEvidence, Outputs

__all__ = [
    "MLP",
    "WNLL",
    "AdversarialTraining",
    "AttackEvaluation",
    "BReLU",
    "Cell",
    "Codewords",
    "ConfigError",
    "Defense",
    "DenseNet",
    "Distillation",
    "ImageDataModule",
    "LabelSmoothing",
    "LoadedRun",
    "Normalize",
    "Pretrained",
    "Recall",
    "ResNet",
    "Result",
    "Squeezed",
    "Standard",
    "Suite",
    "ThreatModel",
    "Trades",
    "TunaCifarCNN",
    "TunaMnistCNN",
    "VirtualAdversarial",
    "ZantedeschiCNN",
    "ZantedeschiCifarCNN",
    "ZantedeschiResNet",
    "attack",
    "attacks",
    "evaluate",
    "fit",
    "load",
]


@answered(skip=("network", "data", "save"), others=trainer_arguments)
def fit(
    network: Defense,
    data: AnyData,
    max_epochs: int = 20,
    *,
    seed: int = 0,
    save: str | Path | None = None,
    progress: bool = True,
    **trainer: Any,  # noqa: ANN401
) -> Defense:
    """Train a defense and return it; nothing is written unless `save` names a folder.

    Sizes that the arguments of the defense and its network do not give are those of the data.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> network = robust.fit(robust.Squeezed(robust.MLP()), data, max_epochs=1)
        >>> network.training
        False

    Args:
        network: What to train.
        data: What to train it on: a data module, or a Dataset, a DataLoader or images and labels.
        max_epochs: Number of epochs.
        seed: Of the training; weights that are there already stay.
        save: Folder of a new run, which `load` and the command read.
        progress: Whether to show a progress bar.
        trainer: Arguments of Lightning's Trainer, such as ``accelerator="gpu"``.

    Raises:
        ConfigError: If network and data do not fit, or an argument is out of range.
    """
    defense = _defense(network)
    module = module_of(data, training=True)
    module = checked(module, ImageDataModule, "data", 'robust.ImageDataModule("digits")')
    if save is not None:
        check_named(module, data)
    check_seed(seed)
    if max_epochs < 1:
        raise ConfigError(f"Expected `max_epochs` to be at least 1, but got {max_epochs}.")
    with isolate_rng():
        torch.manual_seed(seed)
        take_sizes(defense, module)
        run = None if save is None else DescribedRun(save, defense, module, max_epochs)
        settings = {"max_epochs": max_epochs, "log_every_n_steps": 10, **trainer}
        train(defense, module, run, progress, settings)
    return defense.eval()


@answered(skip=("network", "data"), others=trainer_arguments)
def evaluate(
    network: Callable[..., Any],
    data: AnyData,
    suite: AnySuite = "quick",
    *,
    limit: int | None = None,
    views: View | Sequence[View] | None = None,
    attacks: str | Sequence[str] | None = None,
    eps: float | None = None,
    norm: Norm | None = None,
    mean: Any = None,  # noqa: ANN401
    std: Any = None,  # noqa: ANN401
    outputs: Outputs | None = None,
    view_from: Callable[[nn.Module], nn.Module] | Literal["auto"] | None = None,
    evidence: AskedEvidence | None = None,
    features: str | None = None,
    progress: bool = True,
    **trainer: Any,  # noqa: ANN401
) -> Result:
    """Attack a network with a suite and return what was found; no file is left.

    The numbers are those of the command ``evaluate.py`` on the same network, data and suite.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> network = robust.fit(robust.Standard(robust.MLP()), data, max_epochs=1)
        >>> result = robust.evaluate(network, data, suite="quick", limit=20, attacks=["fgsm"])
        >>> result.robust_accuracy("adaptive").n
        20
        >>> result.verdict.word
        'too few images'
        >>> smaller = robust.evaluate(network, data, eps=8 / 255, limit=20, attacks=["fgsm"])
        >>> smaller.evaluation.header.attacks["fgsm"].budget
        'Linf 8/255'

    Args:
        network: What to attack: a defense, or any other module or callable from images to scores.
        data: Whose test images to attack: a data module, or a Dataset, a DataLoader or images and
            labels (x, y), of which all are attacked.
        suite: A `Suite`, a short name, a path, or a mapping of attacks as in YAML. The attacks of a
            mapping may also be classes, or functions as `attack` takes them.
        limit: Number of images, from the first; the suite's own if None.
        views: What the attacks differentiate; the suite's own if None.
        attacks: Which attacks of the suite to run, names or patterns; all if None.
        eps: Radius, for all attacks that have no threat model of their own; the suite's if None.
        norm: Norm, likewise. Attacks that do not bound it are left out.
        mean: Of the normalization of a network that is no defense, in pixels of [0, 1]; a number
            for each channel, or one for all. No normalization if None.
        std: As ``mean``.
        outputs: What such a network returns; found if None.
        view_from: Builds the adaptive view of such a network, if its outputs do not say enough. Of
            any network or defense, ``auto`` looks for further views and says what helped.
        evidence: How much is tried to see whether the attacks would have found what is there:
            ``quick``, ``full`` or ``none``. The suite's own if None, else ``quick``.
        features: Layer of the network whose input are the features of the attack unit test; the
            last linear one if None.
        progress: Whether to show a progress bar.
        trainer: Arguments of Lightning's Trainer, such as ``accelerator="gpu"``.

    Raises:
        ConfigError: If network, data and suite do not fit, or one of them cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = Asked.of(
            suite, as_list(attacks), Budget(eps, norm), limit=limit, views=as_list(views)
        )
        module = tested_images(data, asked.evaluation.suite.limit)
        is_searched = isinstance(view_from, str)
        said = Given(mean, std, outputs, adaptive=None if isinstance(view_from, str) else view_from)
        with prepared(network, module, said) as (defense, notes):
            level = level_of(evidence or asked.evaluation.evidence)
            evaluation = asked.evaluation.replaced(
                records=folder,
                notes=notes,
                search=is_searched,
                evidence=level,
                features=features,
            )
            tested = test(defense, module, evaluation, progress, trainer)
            name = name_of(defense.network if isinstance(defense, Pretrained) else defense)
    return Result(name, tested, module.num_classes, asked.at)


@answered(skip=("attack", "network", "eps", "mask"))
def attack(
    attack: Named,
    network: Defense,
    x: Any,  # noqa: ANN401
    y: Any,  # noqa: ANN401
    *,
    eps: float | None = None,
    norm: Norm | None = None,
    mask: Any = None,  # noqa: ANN401
    view: View = "adaptive",
    target: int | None = None,
    seed: int = 0,
    **arguments: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Return adversarial images, checked against the threat model; a tensor if `x` is one.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> network = robust.fit(robust.Squeezed(robust.MLP()), data, max_epochs=1)
        >>> x, y, _ = data.test_samples(0, 10)
        >>> x_adv = robust.attack("pgd", network, x, y, eps=8 / 255, view="adaptive", steps=2)
        >>> bool((x_adv - x).abs().max() <= 8 / 255 + 1e-6)
        True

    Args:
        attack: A class of `robust.attacks` or torchattacks, or its name in any case. Or the path
            of an attack such as ``adv_lib.attacks.fmn``. Or a function of a model, x, y and, if
            it wants, ``eps``.
        network: What to attack.
        x: Images, (N, C, H, W), uint8 or of floating point in [0, 1].
        y: Their labels.
        eps: Radius of the threat model; the attack's own if None. An attack without one looks for
            the nearest adversarial image, which may be further away.
        norm: Norm of the threat model; the attack's own if None.
        mask: Ones for the pixels that may change and zeros for others, (H, W). Or a number, the
            side of a square patch that the attack places. All pixels may change if None.
        view: What the attack differentiates.
        target: Class that each image shall become; any other than its own if None.
        seed: Of the attack's random numbers.
        arguments: Further arguments of the attack, such as ``steps=40``.

    Raises:
        ConfigError: If there is no such attack, or an argument cannot be used.
        ThreatModelViolation: If the attack did more than the threat model allows.
    """
    defense = _defense(network)
    images = images_of(x).to(defense.device)
    labels = labels_of(y, len(images)).to(defense.device)
    check_seed(seed)
    eps = None if eps is None else number_of(eps)
    budget = {key: value for key, value in (("eps", eps), ("norm", norm)) if value is not None}
    name, build = attack_builder(attack, budget, arguments)
    threat_model = replace(threat_model_of(name, build, norm, eps), **area_of(mask))
    attacked = AttackedOnce(name, build, threat_model, view, target, seed)
    x_adv = attacked.craft(defense, images, labels)
    return x_adv.to(x.device) if isinstance(x, torch.Tensor) else x_adv.cpu().numpy()


@answered(skip=("path",))
def load(path: str | Path, *, trust: str | Sequence[str] = ()) -> LoadedRun:
    """Return a trained run: of a folder, a checkpoint, or ``wandb:entity/project/run``.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> _ = robust.fit(robust.Standard(robust.MLP()), data, max_epochs=1, save="runs/mlp/b")
        >>> robust.load("runs/mlp/b").network.training
        False

    Args:
        path: Where it is.
        trust: Packages whose classes its checkpoint may name, besides ours and torch's.

    Raises:
        ConfigError: If there is no run, or its checkpoint is damaged or of other code.
    """
    with trusting([name for word in as_list(trust) or () for name in entries(word)]):
        found = TrainedRun.load(named_path(path))
    return LoadedRun(found)


def _defense(network: Any) -> Defense:  # noqa: ANN401
    example = "a Defense such as robust.Standard(network)"
    return cast(Defense, checked(network, Defense, "network", example))
