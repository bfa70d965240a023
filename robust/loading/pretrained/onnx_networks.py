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
            _lower_opset(onnx, model)
            return onnx2torch.convert(model), _batch_size(model)
    except Exception as error:  # of damaged files, and of operators that cannot be converted
        raise ConfigError(
            f"Expected an ONNX network at {path} that can be converted to torch, but it cannot "
            f"({in_short(error)}). Export it again, or give its weights and --network."
        ) from None


_KNOWN = (17, 18)
"""Sets of operators of which onnx2torch converts those that classifiers have, the best first."""
_MORE_TYPES = (
    *("Cast", "Constant", "ConstantOfShape", "Equal", "Flatten", "Identity", "Reshape", "Shape"),
    *("Size", "Squeeze", "Transpose", "Unsqueeze"),
)
"""Operators whose newer versions differ in the types that they take, such as float8, alone."""


_PAD_INPUTS = 3
_REDUCE = ("ReduceMean", "ReduceMax", "ReduceMin")
"""Operators whose axes were an attribute before set 18, and are an input since."""


def _axes(onnx: Any, model: Any, node: Any) -> list[int] | None:  # noqa: ANN401
    """Return the axes over which a node reduces; None if they are not constant."""
    name = node.input[1] if len(node.input) > 1 else None
    found = [value for value in model.graph.initializer if value.name == name]
    made = [n for n in model.graph.node if n.op_type == "Constant" and name in n.output]
    found += [attribute.t for n in made for attribute in n.attribute if attribute.name == "value"]
    return [int(axis) for axis in onnx.numpy_helper.to_array(found[0]).ravel()] if found else None


def _lower_opset(onnx: Any, model: Any) -> None:  # noqa: ANN401
    """Have a newer model say an older set of operators, where that changes nothing of it."""
    own = [node for node in model.graph.node if node.domain in ("", "ai.onnx")]
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            continue
        since = [onnx.defs.get_schema(n.op_type, opset.version).since_version for n in own]
        for known in _KNOWN:
            newer = [node for node, version in zip(own, since, strict=True) if version > known]
            reduced = [(n, _axes(onnx, model, n)) for n in newer if n.op_type in _REDUCE]
            are_older = all(_is_older(node) for node in newer if node.op_type not in _REDUCE)
            if opset.version > known and are_older and all(axes for _, axes in reduced):
                for node, axes in reduced:
                    node.attribute.append(onnx.helper.make_attribute("axes", axes))
                    del node.input[1:]
                opset.version = known
                break


def _is_older(node: Any) -> bool:  # noqa: ANN401
    """Return whether an earlier version of its operator does the same."""
    if node.op_type == "Pad":
        has_axes = len(node.input) > _PAD_INPUTS
        return not has_axes and all(attribute.s != b"wrap" for attribute in node.attribute)
    if node.op_type == "AveragePool":
        return all(attribute.name != "dilations" for attribute in node.attribute)
    return node.op_type in _MORE_TYPES


def _batch_size(model: Any) -> int | None:  # noqa: ANN401 (of a library that need not be there)
    constants = {value.name for value in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    sizes = inputs[0].type.tensor_type.shape.dim if inputs else []
    return sizes[0].dim_value or None if sizes else None
