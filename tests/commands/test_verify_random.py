"""`robust verify` judges successes against a random network by as many calls as records do."""

import re

import numpy as np
import pytest
import torch

from robust.commands.evidence import rescored
from robust.commands.main import main
from robust.commands.train import train
from robust.results.kept.stored import read_frames
from tests.support.tiny import TinyNetwork, arguments


class Noisy(TinyNetwork):
    """Other scores at every call."""

    def forward(self, x):
        return super().forward(x + 0.4 * torch.randn_like(x))


@pytest.fixture
def noisy(quiet, npz, suite, tmp_path):
    """The folder of a trained network that is random."""
    runs = tmp_path / "runs"
    words = [word for word in arguments(npz, runs, suite, "Standard") if "TinyNetwork" not in word]
    assert train([*words, f"--model.network={__name__}.Noisy", "--run.id=a"]) == 0
    return runs / "standard/a"


def verified(folder, capsys):
    code = main(["verify", str(folder)])
    return code, capsys.readouterr().out


def test_successes_stand_in_other_calls(noisy, monkeypatch, capsys):
    code, out = verified(noisy, capsys)
    assert code == 0, out
    assert "in 10 calls each, of which more than 1 have to be wrong" in out
    assert int(re.search(r"(\d+) of \d+ successes", out)[1]) > 0
    # One call would accuse.
    monkeypatch.setattr(rescored._Scored, "_replace", lambda scored, **_: scored)
    code, out = verified(noisy, capsys)
    assert code == 3
    assert "is classified correctly" in out


def test_clean_images_do_not_stand(noisy, capsys):
    (path,) = (noisy / "records").glob("*.kept")
    frame = max(read_frames(path)[0], key=lambda each: len(each.index))
    n, shape = len(frame.index), next(iter(frame.images.values())).shape[1:]
    lengths = {"uint8": 0, "float16": n, "float32": 0}
    images = {name: np.zeros((size, *shape), name) for name, size in lengths.items()}
    path.write_bytes(frame._replace(form=np.ones(n, np.int8), images=images).encoded())
    code, out = verified(noisy, capsys)
    assert code == 3
    assert "is classified correctly, 7 at once" in out
    assert "is classified correctly in float64" in out
