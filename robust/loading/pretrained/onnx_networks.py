"""ONNX files as modules of torch, so that attacks have gradients."""

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from robust.errors import ConfigError, how_to_install, in_short


def read_onnx(path: Path) -> tuple[nn.Module, int | None]:
    """Return an ONNX file as a module, and its batch size if it takes no other.

    Raises:
        ConfigError: If the packages onnx and onnx2torch are not there, or the file cannot be
            converted.
    """
    try:
        import onnx
        import onnx2torch
    except ImportError:
        raise ConfigError(
            "Expected the packages onnx and onnx2torch for such a file, but they are not "
            f"installed. {how_to_install('onnx')}"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = onnx.load(str(path))
            return onnx2torch.convert(model), _batch_size(model)
    except Exception as error:  # of damaged files, and of operators that cannot be converted
        raise ConfigError(
            f"Expected an ONNX network at {path} that can be converted to torch, but it cannot "
            f"({in_short(error)}). Export it again, or give its weights and --network."
        ) from None


def _batch_size(model: Any) -> int | None:  # noqa: ANN401 (of a library that need not be there)
    constants = {value.name for value in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    sizes = inputs[0].type.tensor_type.shape.dim if inputs else []
    return sizes[0].dim_value or None if sizes else None
