"""Networks of libraries that need not be installed, with random weights, through the command.

Without timm, transformers or the packages of ONNX their tests are skipped.
"""

import numpy as np
import pytest
import torch
from torch import nn

from robust.commands.main import main
from robust.loading.pretrained.onnx_networks import read_onnx
from robust.results.records import read_evaluation
from tests.support.bars import Bars, bars

SUITE = """
suite: tiny
threat_model: {norm: Linf, eps: 0.1}
attacks: {fgsm: {class_path: robust.attacks.FGSM}}
"""
pytestmark = [
    pytest.mark.outside,
    pytest.mark.usefixtures("quiet"),
    pytest.mark.filterwarnings("ignore"),  # of libraries
]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "colors.npz", x_test=x, y_test=np.arange(8) % 4)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)


def predictions(tmp_path, name, *words, data="colors.npz"):
    given = ["--suite=tiny.yaml", f"--data={data}", f"--output={name}"]
    assert main(["evaluate", *words, *given]) == 0
    (file,) = (tmp_path / name / "records").glob("*.csv")
    rows = read_evaluation(file).rows
    return rows["clean_pred"].tolist(), rows["adv_pred"].tolist()


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_resnet_of_a_library(library, tmp_path, capsys):
    pytest.importorskip(library)
    clean, _ = predictions(tmp_path, "run", f"{library}:resnet18")
    assert len(clean) == 2 * 8
    assert "random weights" in capsys.readouterr().err
    again, _ = predictions(tmp_path, "again", f"{library}:resnet18")
    assert again == clean  # its random weights are the same each time


def test_a_network_of_hugging_face(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=4
    )
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(tmp_path / "folder")
    clean, _ = predictions(tmp_path, "run", "hf:folder")
    x = torch.from_numpy(np.load("colors.npz")["x_test"]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        assert set(clean[:8]) <= set(network(x).logits.argmax(dim=1).tolist())
    assert main(["evaluate", "run", "--suite=tiny.yaml"]) == 0  # as any other run


def test_an_onnx_file_is_attacked_like_its_weights(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx2torch")
    x, y = bars(count=20)
    array = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "bars.npz", x_test=array, y_test=y)
    network = Bars().eval()
    torch.save(network.state_dict(), "w.pt")
    torch.onnx.export(nn.Sequential(network), (x[:2],), "n.onnx", dynamo=False)
    of_weights = predictions(
        tmp_path, "weights", "w.pt", "--network=tests.support.bars:Bars", data="bars.npz"
    )
    assert predictions(tmp_path, "onnx", "n.onnx", data="bars.npz") == of_weights


class WithConstants(nn.Module):
    """Its export has constants and shapes, whose operators have newer versions."""

    def __init__(self):
        super().__init__()
        self.bars = Bars()

    def forward(self, x):
        padded = nn.functional.pad(x[:, :, 1:], (0, 0, 1, 0))
        return self.bars(padded.transpose(2, 3).transpose(2, 3).reshape(len(x), 1, 8, 8)) + x.mean(
            (2, 3)
        )


def test_an_onnx_file_of_newer_operators_is_converted(tmp_path):
    pytest.importorskip("onnx2torch")
    onnx = pytest.importorskip("onnx")
    x, _ = bars(count=6)
    network = WithConstants().eval()
    torch.onnx.export(network, (x[:2],), "n.onnx", dynamo=False, opset_version=20)
    assert onnx.load("n.onnx").opset_import[0].version == 20
    found = read_onnx(tmp_path / "n.onnx")[0]
    assert torch.allclose(found(x[:2]), network(x[:2]), atol=1e-5)
