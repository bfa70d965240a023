"""A message that says how packages are installed names an extra that there is."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from robust.errors import ConfigError
from robust.loading.pretrained import libraries
from robust.loading.pretrained.onnx_networks import read_onnx

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def named():
    """Extras that calls in the package name as text."""
    for path in (ROOT / "robust").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if (
                is_call
                and node.func.id == "how_to_install"
                and isinstance(node.args[0], ast.Constant)
            ):
                yield node.args[0].value


def test_extras_of_messages_are_there():
    assert {"hf", "onnx", "pandas", "safetensors"} <= set(named()) <= set(EXTRAS)


@pytest.mark.parametrize("library", ["timm", "hf"])
def test_a_library_that_is_not_there_is_named_with_its_extra(library, monkeypatch):
    assert library in EXTRAS
    package = libraries._PACKAGES[library]
    assert any(part.startswith(package) for part in EXTRAS[library])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf'pip install "robust-defenses\[{library}\]"'):
        libraries.build(library, "resnet18", {})


def test_onnx_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(ConfigError, match=r'pip install "robust-defenses\[onnx\]"'):
        read_onnx(tmp_path / "n.onnx")
