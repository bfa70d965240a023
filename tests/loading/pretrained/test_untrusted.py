"""A network from elsewhere, and a checkpoint that describes one, run nothing and spoil nothing."""

import os
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robust.errors import ConfigError
from robust.loading.pretrained import kept, libraries
from robust.loading.pretrained.built import Built, built_again, dotted
from robust.loading.trust import ENVIRONMENT, file_entry


def described(path, **arguments):
    source = {"kind": "weights", "attribute": None}
    return {"class_path": path, "init_args": arguments, "source": source}


@pytest.mark.parametrize(
    "path",
    ["lightning.pytorch.loggers.CSVLogger", "lightning.pytorch.Trainer", "torch.optim.SGD"],
)
def test_a_class_that_is_no_network_is_not_built(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="another class, which was not built"):
        built_again(described(path, save_dir="made"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_the_command_is_searched_for_what_the_user_names_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    monkeypatch.setenv(ENVIRONMENT, "")
    assert isinstance(built_again(described("torch.nn.Flatten"), tmp_path), nn.Flatten)
    assert sys.path == ["/elsewhere"]
    for path in ("mine:Net", "other.Net"):
        assert dotted(path) == path.replace(":", ".")
        assert sys.path == ["/elsewhere", str(tmp_path)]


@pytest.mark.parametrize("place", ["file", "link", "pipe", "absent"])
def test_a_program_is_copied_through_no_link(place, tmp_path):
    program, precious = tmp_path / "net.pt", tmp_path / "precious"
    program.write_bytes(b"program")
    precious.write_bytes(b"stays")
    folder = tmp_path / "run"
    folder.mkdir()
    copy = folder / "network.pt"
    if place == "link":
        copy.symlink_to(precious)
    elif place == "pipe":
        os.mkfifo(copy)
    elif place == "file":
        copy.write_bytes(b"earlier")
    found = Built(nn.Flatten(), described("robust.torchscript"), "net", program)
    parts = {"model": {"class_path": "a", "init_args": {}}, "data": {}}
    content = {"state_dict": {"w": torch.zeros(1)}, "robust": parts}
    assert kept._written(folder, found, content) == folder / "checkpoints" / "last.ckpt"
    assert copy.read_bytes() == b"program"
    assert not copy.is_symlink()
    assert precious.read_bytes() == b"stays"


def test_a_pipe_in_place_of_a_program_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "network.pt")
    with pytest.raises(ConfigError, match="a file that can be read"):
        file_entry(tmp_path / "network.pt")


def refused(*_, **__):
    raise AssertionError("it was built")


FILES = {"checkpoint_path": "evil.pth"}


@pytest.mark.parametrize("library", ["timm", "hf"])
def test_no_library_reads_a_pickle_that_a_file_names(library, monkeypatch):
    config = SimpleNamespace(to_dict=lambda: {"model_args": [FILES]})
    kind = SimpleNamespace(from_pretrained=refused, from_config=refused)
    auto = SimpleNamespace(from_pretrained=lambda *_, **__: config, for_model=refused)
    package = SimpleNamespace(
        create_model=refused,
        list_models=list,
        AutoConfig=auto,
        AutoModelForImageClassification=kind,
    )
    monkeypatch.setitem(sys.modules, libraries._PACKAGES[library], package)
    with pytest.raises(ConfigError, match="`checkpoint_path` is not read"):
        libraries.build(library, "resnet18", FILES)
    arguments = FILES if library == "timm" else {"config": '{"model_args": {"checkpoint_path": 1}}'}
    with pytest.raises(ConfigError, match="`checkpoint_path` is not read"):
        libraries.build_again(library, "resnet18", arguments)
