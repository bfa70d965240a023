"""`isinstance` with a protocol sees what a call would find, on every Python."""

import ast
from pathlib import Path
from typing import Protocol, runtime_checkable

import pytest
import torch
from torch import nn

import robust
from robust.attacks.minimal.carlini_wagner import HasCodebook
from robust.attacks.views import HasObjective, HasTargetedObjective, Randomized
from robust.defenses.wnll.templates import _Blocks
from robust.duck_typing import ByAttribute
from robust.figures.features import _HasFeatures
from robust.figures.recalled import Recalls
from robust.measures.unit_test.layers import HasLine
from robust.measures.unit_test.measurement import Suite
from robust.transforms.quantized import Quantized

PROTOCOLS = {
    HasCodebook: ("codebook", "outputs"),
    HasObjective: ("objective",),
    HasTargetedObjective: ("targeted_objective",),
    Quantized: ("level_thresholds",),
    Randomized: ("resampled",),
    Recalls: ("representatives", "recalled"),
    HasLine: ("line_of_outputs",),
    Suite: ("name", "builders", "infos", "views", "seed", "on"),
    _Blocks: ("block", "limit"),
    _HasFeatures: ("features",),
}


class Wrapper(nn.Module):
    """Hands on what it wraps, as `torch.compile` does and as users do."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def __getattr__(self, name):
        if name == "module":
            return super().__getattr__(name)
        return getattr(self.module, name)


def holder(names, keep):
    """A module that holds something by each of the names: a parameter, a buffer or a submodule."""
    module = nn.Module()
    for name in names:
        keep(module, name)
    return module


HOLDERS = {
    "buffer": lambda module, name: module.register_buffer(name, torch.ones(2)),
    "parameter": lambda module, name: module.register_parameter(name, nn.Parameter(torch.ones(2))),
    "submodule": lambda module, name: module.add_module(name, nn.Linear(2, 2)),
    "attribute": lambda module, name: setattr(module, name, lambda *_: None),
}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
@pytest.mark.parametrize("kind", HOLDERS)
def test_a_member_is_found_however_a_module_delivers_it(protocol, kind):
    module = holder(PROTOCOLS[protocol], HOLDERS[kind])
    assert isinstance(module, protocol)
    assert isinstance(Wrapper(Wrapper(module)), protocol)
    for missing in PROTOCOLS[protocol]:
        others = [name for name in PROTOCOLS[protocol] if name != missing]
        assert not isinstance(Wrapper(holder(others, HOLDERS[kind])), protocol)


def test_only_a_method_that_is_none_is_no_member():
    blocks = type("Blocks", (), {"block": 3, "limit": None})()
    assert isinstance(blocks, _Blocks)
    assert not isinstance(type("None_", (), {"objective": None})(), HasObjective)


def test_a_class_that_derives_from_a_protocol_is_a_class_like_others():
    class Named(HasObjective):
        def objective(self, outputs, y):
            return outputs[:, 0]

    class Alike:
        objective = Named.objective

    assert isinstance(Named(), Named)
    assert isinstance(Named(), HasObjective)
    assert not isinstance(Alike(), Named)


def test_no_protocol_of_ours_is_checked_otherwise():
    found = {}
    for path in Path(robust.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            checked = isinstance(node, ast.ClassDef) and "runtime_checkable" in map(
                ast.unparse, node.decorator_list
            )
            if checked:
                found[node.name] = [ast.unparse(keyword.value) for keyword in node.keywords]
    assert found == {protocol.__name__: ["ByAttribute"] for protocol in PROTOCOLS}


def test_the_mechanism_is_more_than_python_does_from_3_12_on():
    """The check that fails there without it, told apart on any Python by what it asks for."""

    @runtime_checkable
    class Ours(Protocol, metaclass=ByAttribute):
        codebook: torch.Tensor

    asked = []

    class Delivers:
        def __getattr__(self, name):
            asked.append(name)
            return 1

    assert isinstance(Delivers(), Ours)
    assert "codebook" in asked
