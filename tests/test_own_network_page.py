"""What docs/own-network.md shows for models of MAITE works, by their protocol alone."""

import re
from pathlib import Path

import pytest
import torch

import robust
from tests.support.bars import Bars, bars

PAGE = (Path(__file__).parent.parent / "docs" / "own-network.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Models and data sets of MAITE") :].split("\n## ")[0]
SUITE = {
    "suite": "two",
    "threat_model": {"norm": "Linf", "eps": 0.4},
    "attacks": {
        "fgsm": {"class_path": "robust.attacks.FGSM"},
        "square": {"class_path": "robust.attacks.Square", "init_args": {"queries": 20}},
    },
}


class Model:
    """As `maite.protocols.image_classification.Model`: arrays in, probabilities out."""

    def __init__(self, *, numpy):
        self.metadata = {"id": "bars"}
        self.network, self.numpy = Bars().eval(), numpy

    def __call__(self, input_batch):
        assert isinstance(input_batch, list)
        x = torch.stack([torch.as_tensor(image) for image in input_batch])
        scores = self.network(x).softmax(dim=1)
        return list(scores.detach().numpy()) if self.numpy else list(scores)


class Dataset:
    """As `maite.protocols.image_classification.Dataset`."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        x, y = bars(count=12)
        return x[index].numpy(), torch.eye(4)[y[index]].numpy(), {"id": index}


@pytest.mark.sampled(every=2)
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("numpy", [False, True])
def test_the_adapters_of_maite(numpy, capsys):
    (block,) = re.findall(r"(?ms)^```python\n(.*?)^```", SECTION)
    block = block.replace("list(x)", "list(x.detach().cpu().numpy())") if numpy else block
    exec(block, names := {"torch": torch})
    images = names["Images"](Dataset())
    found = robust.evaluate(names["Network"](Model(numpy=numpy)), images, SUITE, progress=False)
    assert found.clean_accuracy().value == 1
    own = robust.evaluate(Bars(), bars(count=12), SUITE, progress=False)
    if numpy:
        assert "has no gradient" in " ".join(found.evaluation.notes)
        assert found.success("fgsm").value == 0
    else:
        assert found.success("fgsm").value == own.success("fgsm").value > 0


def test_the_section_is_short():
    assert len(SECTION.splitlines()) < 30
    assert PAGE.count("list(x.detach().cpu().numpy())") == 1
