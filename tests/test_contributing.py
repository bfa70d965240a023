"""The worked example of CONTRIBUTING.md is true: its defense passes its test, and is short."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from torch import nn

import robust.defenses

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = {kind: re.findall(rf"(?ms)^```{kind}\n(.*?)^```", PAGE) for kind in ("", "python", "yaml")}


@pytest.fixture
def defense(monkeypatch):
    """The class that the page defines, where its file would be, as `robust.defenses` has it."""
    name = "robust.defenses.confidence_penalty"
    assert f"`{name.replace('.', '/')}.py`" in PAGE
    monkeypatch.setitem(sys.modules, name, module := ModuleType(name))
    exec(BLOCKS["python"][0], vars(module))
    found = module.ConfidencePenalty
    monkeypatch.setattr(robust.defenses, found.__name__, found, raising=False)
    return found


@pytest.mark.usefixtures("defense")
def test_the_defense_passes_its_test():
    names = {}
    exec(BLOCKS["python"][1], names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()


def test_the_adaptive_view_predicts_like_the_defense(defense):
    torch.manual_seed(0)
    trained = defense(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))
    x = torch.rand(8, 1, 28, 28)
    assert torch.equal(trained.adaptive_view()(x).argmax(dim=1), trained(x).argmax(dim=1))


def test_the_config_is_of_the_defense(defense):
    (block,) = BLOCKS["yaml"]
    model = yaml.safe_load(block)["model"]
    assert model["class_path"] == f"robust.defenses.{defense.__name__}"
    assert {"Paper:", "Ours:"} <= set(block.split())


def test_the_page_begins_with_three_commands_and_the_example_is_short():
    assert [line.split()[0] for line in BLOCKS[""][0].splitlines()] == ["git", "make", "make"]
    section = PAGE[PAGE.index("## Add a defense") : PAGE.index("## Add something else")]
    written = [line for line in section.splitlines() if line]
    assert len([line for line in written if not line.startswith(("import ", "from "))]) <= 46
