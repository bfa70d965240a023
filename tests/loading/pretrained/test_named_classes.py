"""A wrong name of a network, data or channels is answered with the right one."""

import pytest
from torch import nn

from robust.commands.options.evaluate import parse_options
from robust.commands.options.train import translated
from robust.data.datasets import check_name
from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.pretrained.built import Request, built
from robust.networks.foreign import Foreign

MODELS = """
from torch import nn
WIDTH = 5
class CNN(nn.Module):
    pass
"""


def test_the_same_name_in_other_case_is_nearest():
    assert nearest("Cnn", ["nn", "Cn", "CNN"]) == " Did you mean CNN?"
    assert nearest("wEIGHTS", ["heights", "weights"]) == " Did you mean weights?"


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("namedmodels:Cnn", r"has no Cnn\. Did you mean CNN\?$"),
        ("namedmodels:n", r"has no n\.$"),
        ("namedmodels:WIDTH", r"to be a class or a function, but it is int\. Name"),
        ("CNN", r"but got 'CNN'\. Put the name of its module"),
    ],
)
def test_a_wrong_class(name, match, tmp_path, monkeypatch):
    (tmp_path / "namedmodels.py").write_text(MODELS)
    (tmp_path / "w.pt").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ROBUST_TRUST", "namedmodels")
    with pytest.raises(ConfigError, match=match):
        built(Request(str(tmp_path / "w.pt"), name, {}, None, None, None), 10)


def test_a_folder_is_suggested_as_a_folder_of_images(tmp_path, monkeypatch):
    (tmp_path / "val").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"Did you mean imagefolder:val\?"):
        check_name("val")


def test_half_a_normalization_says_what_to_do():
    with pytest.raises(ConfigError, match="Give the other, too"):
        Foreign(nn.Identity(), mean=[0.5])


def test_channels_are_a_flag_of_both_commands():
    assert parse_options(["w.pt", "--data=imagefolder:val", "--channels", "3"]).channels == 3
    assert "--data.channels=3" in translated(["standard", "--data=imagefolder:a", "--channels=3"])
