"""Weights that somebody saved, in the forms in which people save them, put into a network."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from robust.checkpoint_bounds import check_bounds
from robust.checkpoints import check_finite
from robust.errors import ConfigError, how_to_install, in_short
from robust.io.file_kinds import is_safetensors, not_of_torch, weights_kind
from robust.loading.trust import shown

Weights = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...] | None]
"""Shapes by name; None of what takes its shape from the weights."""
_KEYS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params"),
    *("module", "model_state", "net_state_dict", "generator", "ema"),
)
"""Under which weights are kept beside other things, the likeliest first."""
_SAVE = "Save weights alone: torch.save(model.state_dict(), 'weights.pt')."
_COUNTER = "num_batches_tracked"
"""A buffer of batch normalization that older files lack, and that no prediction needs."""
_SHOWN = 3
_DEEPEST = 3
"""Levels of a file in which weights are looked for."""


def read_weights(path: Path, key: str | None = None) -> Weights:
    """Return the weights in a file of torch or safetensors, wherever they are in it.

    Nothing in the file is executed.

    Args:
        path: The file.
        key: Where in it they are, such as ``state_dict.0``, if it has those of several networks.

    Raises:
        ConfigError: If it holds pickled code, no weights, or more than one network's, or is
            damaged.
    """
    content = _safetensors(path) if weights_kind(path) == "safetensors" else _torch(path)
    found = dict(_weights_in(content, ""))
    if key is not None:
        found = {place: found[place] for place in _asked(key, found, path)}
    elif len(found) > 1:
        found = _likeliest(found)
    if len(found) != 1:
        places = [place for place, _ in _weights_in(content, "") if place]
        hint = f"Choose one with --key: {_some(places)}." if places else _SAVE
        raise ConfigError(
            f"Expected the weights of one network in {path}, but it holds {_described(content)}. "
            f"{hint}"
        )
    (weights,) = found.values()
    check_finite(weights, str(path))
    return weights


def _asked(key: str, found: Mapping[str, Weights], path: Path) -> list[str]:
    if key not in found:
        places = [place for place in found if place]
        hint = f"Choose one of {_some(places)}." if places else "Leave --key out."
        raise ConfigError(
            f"Expected weights under the key {shown(key)!r} in {path}, but there are none. {hint}"
        )
    return [key]


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> list[str]:
    """Put weights into a network, under whatever prefix they were saved, and return notes.

    Args:
        network: Whose weights they are.
        weights: By their names in the file.
        path: The file, for messages.

    Raises:
        ConfigError: If a weight is missing, unexpected, or of another shape, with its name.
    """
    wanted = {key: _shape(value) for key, value in network.state_dict().items()}
    found, left = _best_prefix(weights, wanted)
    notes = []
    if not found and (in_order := _in_order(weights, wanted)):
        found, left = in_order, []
        notes = [
            f"{path.name}: no name fits, so its {len(found)} weights are taken in their order."
        ]
    _check_fits(type(network).__name__, found, left, wanted, path)
    if left:
        notes = [f"{path.name}: {len(left)} other values are left out, such as {left[0]}."]
    network.load_state_dict(found, strict=False)
    return notes


def _torch(path: Path) -> object:
    other = not_of_torch(path)
    if other is not None:
        raise ConfigError(f"Expected a file of weights at {path}, but got {other}. {_SAVE}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise ConfigError(
                f"Expected weights in {path}, but it holds pickled code, such as a complete "
                f"module, which was not run. {_SAVE}"
            ) from None
        raise _unreadable(path, error) from None
    except Exception as error:  # bytes that are no pickle can end in any error
        raise _unreadable(path, error) from None
    check_bounds(content, path)
    return content


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"Expected a file of weights at {path}, but it cannot be read as one "
        f"({in_short(error):.60}). It may be truncated, or no model: copy it again."
    )


def _safetensors(path: Path) -> object:
    if not is_safetensors(path):
        found = not_of_torch(path) or "a file of another kind"
        raise ConfigError(f"Expected safetensors at {path}, but got {found}. {_SAVE}")
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ConfigError(
            "Expected the package safetensors for such a file, but it is not installed. "
            f"{how_to_install('safetensors')}"
        ) from None
    try:
        return load_file(path)
    except Exception as error:  # of the library, which has a class of its own
        raise _unreadable(path, error) from None


def _weights_in(content: object, place: str) -> Iterator[tuple[str, Weights]]:
    """All weights in a file, with their places: mappings of nothing but tensors, by name."""
    if isinstance(content, list | tuple):
        parts = {str(i): value for i, value in enumerate(content)}
    elif isinstance(content, Mapping):
        parts = {key: value for key, value in content.items() if isinstance(key, str)}
        tensors = {key: value for key, value in parts.items() if isinstance(value, Tensor)}
        if tensors and len(tensors) == len(content):
            yield place, tensors
            return
    else:
        return
    if place.count(".") < _DEEPEST:
        for key, value in parts.items():
            yield from _weights_in(value, f"{place}.{key}" if place else key)


def _likeliest(found: Mapping[str, Weights]) -> dict[str, Weights]:
    """Those under the first of the usual keys, of several in a file."""
    for key in _KEYS:
        under = {p: weights for p, weights in found.items() if p == key or p.startswith(f"{key}.")}
        if under:
            return under
    return dict(found)


def _described(content: object) -> str:
    if isinstance(content, Mapping):
        several = [key for key, value in content.items() if _is_list_of_weights(value)]
        if several:
            return f"{len(content[several[0]])} networks under {several[0]!r}"
        keys = ", ".join(str(key)[:30] for key in list(content)[:5])
        return f"the keys {keys}" if keys else "nothing"
    return f"a {type(content).__name__}"


def _is_list_of_weights(value: object) -> bool:
    if not isinstance(value, list) or len(value) < 2:
        return False
    return all(any(True for _ in _weights_in(part, "")) for part in value)


def _shape(value: Any) -> tuple[int, ...] | None:  # noqa: ANN401
    return None if is_lazy(value) else tuple(value.shape)


def _best_prefix(weights: Mapping[str, Tensor], wanted: Shapes) -> tuple[Weights, list[str]]:
    """The weights without the prefix that fits most names, and names outside of that prefix."""
    best: tuple[int, int, str, str] = (0, 0, "", "")
    names = set(wanted)
    for added in _prefixes(wanted) if _one_prefix(wanted) else [""]:
        for prefix in _prefixes(weights):
            stripped = {
                added + key.removeprefix(prefix) for key in weights if key.startswith(prefix)
            }
            fits = (len(stripped & names), -len(stripped - names), prefix, added)
            best = max(best, fits, key=lambda fit: fit[:2])
    count, _, prefix, added = best
    if not count:
        return {}, []
    inside = {
        added + key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
    return inside, [key for key in weights if not key.startswith(prefix)]


def _one_prefix(wanted: Shapes) -> bool:
    return len({key.partition(".")[0] for key in wanted}) == 1


def _prefixes(names: Mapping[str, Any]) -> Iterator[str]:
    """Nothing, and all that names begin with before a dot."""
    seen = {""}
    for name in names:
        parts = name.split(".")[:-1]
        seen |= {".".join(parts[:count]) + "." for count in range(1, min(len(parts), 4) + 1)}
    return iter(sorted(seen, key=lambda prefix: (prefix.count("."), prefix)))


def _in_order(weights: Mapping[str, Tensor], wanted: Shapes) -> Weights | None:
    """Weights of other names, if in their order they have just the shapes that are wanted."""
    given = [value for key, value in weights.items() if not key.endswith(_COUNTER)]
    names = [key for key in wanted if not key.endswith(_COUNTER)]
    shapes = [tuple(value.shape) for value in given]
    if not names or shapes != [wanted[name] for name in names]:
        return None
    return dict(zip(names, given, strict=True))


def _check_fits(name: str, found: Weights, left: list[str], wanted: Shapes, path: Path) -> None:
    missing = [key for key in wanted if key not in found and not key.endswith(_COUNTER)]
    unexpected = [key for key in found if key not in wanted] if found else left
    if not found:
        raise ConfigError(
            f"Expected weights of {name} in {path}, such as {next(iter(wanted), 'none')}, but no "
            "name fits. Give the class that they were saved from with --network."
        )
    if missing or unexpected:
        told = [f"{len(missing)} missing ({_some(missing)})"] if missing else []
        told += [f"{len(unexpected)} unexpected ({_some(unexpected)})"] if unexpected else []
        raise ConfigError(
            f"Expected the weights of {name} in {path.name}, but there are {' and '.join(told)}. "
            "Give the class and the --network.KEY arguments that they were saved from."
        )
    for key, value in found.items():
        if wanted[key] is not None and tuple(value.shape) != wanted[key]:
            raise ConfigError(
                f"Expected {key} of shape {wanted[key]} for {name}, but in {path.name} it has "
                f"{tuple(value.shape)}. Give the --network.KEY arguments that it was saved from."
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(f"{name:.40}" for name in names[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
