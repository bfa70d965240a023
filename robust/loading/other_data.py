"""Images that a user names, and what is to be said of a trained run that is attacked on them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.defenses.sizes import outputs_of
from robust.errors import ConfigError
from robust.loading.parsing.fractions import read_yaml
from robust.loading.parsing.parser import Parser, check_built
from robust.loading.short_names import find, known


def data_named(name: str, reading: Mapping[str, Any]) -> ImageDataModule:
    """Return the images that ``--data`` names.

    Args:
        name: A short name, a YAML file, or images such as ``imagefolder:DIR``.
        reading: How image files are read: arguments of the data module, None where not given.

    Raises:
        ConfigError: If there are none, or they cannot be read.
    """
    given = {key: value for key, value in reading.items() if value}
    if name not in known("data") and Path(name).suffix not in (".yaml", ".yml"):
        return ImageDataModule(name, **given)
    path = find(name, "data")
    content: dict[str, Any] = {"data": read_yaml(path)}
    content["data"].setdefault("init_args", {}).update(given)
    check_built(content, path)
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(ImageDataModule, "data")
    data: ImageDataModule = parser.instantiate(parser.parse_object(content)).data
    return data


def are_other(data: ImageDataModule, described: Mapping[str, Any]) -> bool:
    """Return whether images are others than those that a run was trained on.

    Args:
        data: The images.
        described: ``data`` of the run's description.
    """
    own = described.get("init_args", {})
    asked = {key: getattr(data, key) for key in ("dataset", *_READING)}
    usual = dict.fromkeys(_READING)
    return not data.is_named or {**usual, **{k: own.get(k) for k in asked}} != asked


_READING = ("size", "crop", "channels")


def notes_on(
    defense: Defense, data: ImageDataModule, own: ImageDataModule | None, trained_on: str
) -> tuple[str, ...]:
    """Return what a reader must know of a network that is attacked on others than its own images.

    Arrays without names of classes take the number of classes of the network.

    Args:
        defense: The network.
        data: What it is attacked on.
        own: What it was trained on; None if that is gone.
        trained_on: What that is called.

    Raises:
        ConfigError: If the network does not take the images, or has other classes.
    """
    count = outputs_of(defense, data.shape)
    if not count:
        theirs = f" of {_shape(own)}, as in {own.name}," if own is not None else ""
        raise ConfigError(
            f"Expected images{theirs} for the network, but those of {data.name} are "
            f"{_shape(data)}, which it does not take. Choose others, or give --size, --crop or "
            "--channels for image files."
        )
    if data.num_classes < count and not data.class_names:
        data.num_classes = count
    if data.num_classes != count:
        raise ConfigError(
            f"Expected the {count} classes that the network was trained on, but {data.name} has "
            f"{data.num_classes}. Labels count by their numbers: a folder needs one for each "
            "class, which may be empty."
        )
    defense.check_fit(data.shape, data.num_classes, data.name)
    notes = [f"trained on {trained_on}, attacked on {data.name}."]
    return (*notes, *([] if own is None else _differences(data, own)))


def _differences(data: ImageDataModule, own: ImageDataModule) -> list[str]:
    found = []
    if data.shape != own.shape:
        found.append(f"its images are {_shape(data)}, those of its training {_shape(own)}.")
    pairs = zip(data.class_names, own.class_names, strict=False)
    for label, (here, there) in enumerate(pairs):
        if here != there:
            found.append(
                f"class {label} is {here!r:.40} here and {there!r:.40} in its training; labels "
                "count by their numbers."
            )
            break
    return found


def _shape(data: ImageDataModule) -> str:
    return "x".join(map(str, data.shape))
