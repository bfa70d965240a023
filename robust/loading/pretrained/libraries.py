"""Networks that torchvision, timm and transformers build, with random weights or a folder's."""

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from robust.errors import ConfigError, how_to_install, in_short
from robust.loading.messages import nearest
from robust.loading.pretrained.source import Library
from robust.loading.trust import shown

_PACKAGES = {"timm": "timm", "torchvision": "torchvision", "hf": "transformers"}


class Built(NamedTuple):
    """A network of a library, what builds it again, and the normalization that it asks for."""

    network: nn.Module
    arguments: dict[str, Any]
    mean: list[float] | None = None
    std: list[float] | None = None
    has_weights: bool = False


def build(library: Library, name: str, arguments: Mapping[str, Any]) -> Built:
    """Return a network that a library builds; nothing is downloaded but what ``hf:NAME`` names.

    Args:
        library: Which.
        name: Of the network there; for ``hf`` a folder, or a name on its hub.
        arguments: Of the network, such as ``num_classes``.

    Raises:
        ConfigError: If the library is not installed, or has no such network.
    """
    found = _library(library)
    try:
        if library == "hf":
            return _from_folder(found, name)
        if re.fullmatch(r"[\w.-]+", name) is None:
            raise ValueError(f"no name of a network: {shown(name)}")
        return _timm(found, name, arguments) if library == "timm" else _vision(name, arguments)
    except Exception as error:  # whatever a library raises
        hint = nearest(name, _known(library, found))
        raise ConfigError(
            f"Expected a network of {_PACKAGES[library]} that can be built, but {shown(name)} "
            f"cannot ({in_short(error)}).{hint}"
        ) from None


def build_again(library: Library, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return a network as `build` built it, without weights.

    Raises:
        ConfigError: As `build`.
    """
    if library != "hf":
        return build(library, name, arguments).network
    transformers = _library(library)
    try:
        settings = json.loads(arguments["config"])
        _check_no_file(settings)
        config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
        return transformers.AutoModelForImageClassification.from_config(config)  # type: ignore[no-any-return]
    except Exception as error:
        raise ConfigError(
            f"Expected the config of a network of transformers, but none can be built of it "
            f"({in_short(error)}). Evaluate its source again."
        ) from None


def _library(library: Library) -> Any:  # noqa: ANN401
    package = _PACKAGES[library]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"Expected the package {package} for {library}:, but it cannot be imported "
            f"({in_short(error)}). {how_to_install(library)}"
        ) from None


def _vision(name: str, arguments: Mapping[str, Any]) -> Built:
    from torchvision.models import get_model

    return Built(get_model(name, weights=None, **arguments), dict(arguments))


def _timm(timm: Any, name: str, arguments: Mapping[str, Any]) -> Built:  # noqa: ANN401
    _check_no_file(arguments)
    network = timm.create_model(name, pretrained=False, **arguments)
    config = getattr(network, "pretrained_cfg", None) or {}
    mean, std = config.get("mean"), config.get("std")
    if mean is None or std is None:
        return Built(network, dict(arguments))
    return Built(network, dict(arguments), list(mean), list(std))


def _check_no_file(arguments: object) -> None:
    """Raise if timm is to read a file of weights, which it unpickles in some versions.

    Raises:
        ValueError: If so.
    """
    stack = [arguments]
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            if value.get("checkpoint_path"):
                raise ValueError("`checkpoint_path` is not read: give --weights FILE instead")
            stack += value.values()
        elif isinstance(value, list | tuple):
            stack += value


def _from_folder(transformers: Any, name: str) -> Built:  # noqa: ANN401
    kind = transformers.AutoModelForImageClassification
    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    _check_no_file(config.to_dict())
    network = kind.from_pretrained(name, config=config, trust_remote_code=False)
    settings = {"model_type": network.config.model_type, **network.config.to_diff_dict()}
    mean, std = _preprocessing(Path(name))
    return Built(network, {"config": json.dumps(settings)}, mean, std, has_weights=True)


def _preprocessing(folder: Path) -> tuple[list[float] | None, list[float] | None]:
    try:
        content = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        mean, std = content["image_mean"], content["image_std"]
        return [float(value) for value in mean], [float(value) for value in std]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _known(library: Library, found: Any) -> list[str]:  # noqa: ANN401
    if library == "timm":
        return list(found.list_models())
    if library == "torchvision":
        from torchvision.models import list_models

        return list(list_models())
    return []
