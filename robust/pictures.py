"""What `evaluate.py --draw` draws: pictures of trained runs that need no suite of attacks."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from robust.attacks import FGSM, PGD, craft
from robust.defenses import Recall
from robust.drawing import SAMPLES, show
from robust.errors import ConfigError
from robust.evaluation.confidence import draw_confidence
from robust.evaluation.features import draw_features, features_of
from robust.evaluation.progress import draw_progress
from robust.evaluation.recalled import draw_recalled
from robust.evaluation.reconstructions import draw_reconstructions
from robust.options import Picture
from robust.subjects import Subject

Runs = Mapping[str, Subject]
Drawn = tuple[Subject, Path]
"""A file, and the run that it lies with."""

_COLUMNS = 6
_EPS = 8 / 255
_EPS_OF_FEATURES = 0.02
_WITH_TWO_CLASSES = 1000
"""Test samples of which those of the first two classes are drawn."""


def draw_pictures(names: list[Picture], subjects: Runs) -> None:
    """Draw each of these pictures; those of several runs lie with the first.

    Raises:
        ConfigError: If a picture is of something that the runs do not have.
    """
    for name in dict.fromkeys(names):
        for subject, path in _PICTURES[name](subjects):
            show({f"figures/{name}": path}, subject.loggers(name))


def _file(subject: Subject, name: str) -> Path:
    return subject.folder / "figures" / f"{name}.png"


def _first(subjects: Runs) -> Subject:
    return next(iter(subjects.values()))


def _confidence(subjects: Runs) -> list[Drawn]:
    first = _first(subjects)
    runs = {name: (subject.defense.cpu(), subject.data) for name, subject in subjects.items()}
    return [(first, draw_confidence(runs, _file(first, "confidence")))]


def _features(subjects: Runs) -> list[Drawn]:
    """Of an attacker who does not know of a transform; Wang et al. 2018, Figure 4."""
    first = _first(subjects)
    batch = first.data.test_samples(0, min(_WITH_TWO_CLASSES, first.data.test_size))
    x, y, index = (part[batch.y < 2] for part in batch)
    runs = {}
    for name, subject in subjects.items():
        if subject.data.name != first.data.name:
            raise ConfigError(
                f"Expected runs on one data set to draw features, but got {first.data.name} and "
                f"{subject.data.name}. Leave some out."
            )
        defense = subject.defense.cpu()
        transform, view = defense.transform, defense.published_view()
        attacked = f"FGSM, eps {_EPS_OF_FEATURES}"
        x_adv = craft(
            lambda view: FGSM(view, _EPS_OF_FEATURES), view, x, y, sample_seeds=index
        ).x_adv
        kinds = {"clean": features_of(defense, x), attacked: features_of(defense, x_adv)}
        if not isinstance(transform, nn.Identity):
            after = f"{attacked}, {type(transform).__name__}"
            kinds[after] = features_of(defense, x_adv, transform)
        runs[name] = kinds
    names = ("class 0", "class 1")
    return [(first, draw_features(runs, y, _file(first, "features"), names=names))]


def _progress(subjects: Runs) -> list[Drawn]:
    first = _first(subjects)
    runs = {name: subject.folder for name, subject in subjects.items()}
    return [(first, draw_progress(runs, _file(first, "progress")))]


def _recalled(subjects: Runs) -> list[Drawn]:
    made = []
    for name, subject in subjects.items():
        defense = subject.defense.cpu().eval()
        if not isinstance(defense, Recall):
            raise ConfigError(
                f"Expected runs of a net that recalls images, but {name} is "
                f"{type(defense).__name__}. Leave it out."
            )
        batch = subject.data.test_samples(0, min(SAMPLES, subject.data.test_size))
        with torch.no_grad():
            made.append((subject, draw_recalled(defense, batch, _file(subject, "recalled"))))
    return made


def _transformed(subjects: Runs) -> list[Drawn]:
    """Images and adversarial ones of an attacker who does not know of the transform."""
    made = []
    for name, subject in subjects.items():
        defense = subject.defense.cpu()
        if isinstance(defense.transform, nn.Identity):
            raise ConfigError(
                f"Expected runs with an input transform, but {name} has none. Leave it out."
            )
        x, y, index = subject.data.test_samples(0, min(_COLUMNS, subject.data.test_size))
        view = defense.published_view()
        x_adv = craft(lambda view: PGD(view, _EPS), view, x, y, sample_seeds=index).x_adv
        rows = {"image": x, "PGD, Linf 8/255": x_adv}
        path = draw_reconstructions(rows, defense.transform, _file(subject, "transformed"))
        made.append((subject, path))
    return made


_PICTURES: dict[Picture, Callable[[Runs], list[Drawn]]] = {
    "confidence": _confidence,
    "features": _features,
    "progress": _progress,
    "recalled": _recalled,
    "transformed": _transformed,
}
