"""The worked example of CONTRIBUTING.md is true: its defense passes its test, and is short."""

import math
import re
from pathlib import Path
from typing import final

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from robust.attacks.views import Rescale
from robust.defenses import Defense
from robust.types import Images, Labels, Scalar

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = {kind: re.findall(rf"(?ms)^```{kind}\n(.*?)^```", PAGE) for kind in ("", "python", "yaml")}


def example():
    """The names that the page's blocks of Python define, and those that they need."""
    names = {"final": final, "math": math, "pytest": pytest, "torch": torch, "F": F, "nn": nn}
    names |= {"Defense": Defense, "Rescale": Rescale}
    names |= {"Images": Images, "Labels": Labels, "Scalar": Scalar}
    for block in BLOCKS["python"]:
        exec(block, names)
    return names


def test_the_defense_passes_its_test():
    names = example()
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()


def test_the_adaptive_view_predicts_like_the_defense():
    torch.manual_seed(0)
    defense = example()["ConfidencePenalty"](nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))
    x = torch.rand(8, 1, 28, 28)
    assert torch.equal(defense.adaptive_view()(x).argmax(dim=1), defense(x).argmax(dim=1))


def test_the_config_is_of_the_defense():
    (block,) = BLOCKS["yaml"]
    model = yaml.safe_load(block)["model"]
    assert model["class_path"].rpartition(".")[2] in example()
    assert {"Paper:", "Ours:"} <= set(block.split())


def test_the_page_begins_with_three_commands_and_the_example_is_short():
    assert [line.split()[0] for line in BLOCKS[""][0].splitlines()] == ["git", "make", "make"]
    section = PAGE[PAGE.index("## Add a defense") : PAGE.index("## Add something else")]
    assert len(section.splitlines()) <= 60
