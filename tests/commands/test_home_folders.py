"""A home folder of nobody is one line, in every path that may begin with one."""

import pytest

from robust.commands.options.evaluate import parse_options
from robust.commands.train import train
from robust.data import ImageDataModule
from robust.data.training_set import TrainingSet
from robust.errors import ConfigError
from robust.io.text_files import expanded
from robust.tracking.run import Run
from robust.transforms import BitDepthReduction
from tests.support.tiny import arguments

NOBODY = "~no-such-user/x"
MESSAGE = "home folder of a user, but got ~no-such-user, which has none here"


def test_home_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert str(expanded("a/~b")) == "a/~b"


@pytest.mark.parametrize("words", [["run"], ["weights.pt", "--network=a:B", "--data=digits"]])
def test_the_output_of_an_evaluation(words, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = parse_options([*words, "--output=~/mine"])
    assert tmp_path / "mine" in (options.output, options.folder)


@pytest.mark.parametrize(
    "use",
    [
        lambda npz: Run(name="n", id="i", root=NOBODY).folder,
        lambda npz: ImageDataModule(f"{NOBODY}.npz"),
        lambda npz: ImageDataModule("digits", root=NOBODY),
    ],
)
def test_nobody(use, npz, monkeypatch):
    monkeypatch.delenv("ROBUST_DATA_DIR", raising=False)
    with pytest.raises(ConfigError, match=MESSAGE):
        use(npz)


def test_the_folder_of_a_training_set(npz):
    data = ImageDataModule(str(npz), training_set=TrainingSet(BitDepthReduction(1), cache=NOBODY))
    data.setup("fit")
    with pytest.raises(ConfigError, match=MESSAGE):
        data.train_dataloader()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("flag", [f"run.root={NOBODY}", f"data.dataset={NOBODY}.npz"])
def test_a_command_ends_in_one_line(flag, npz, suite, tmp_path, capsys):
    args = arguments(npz, tmp_path / "runs", suite, "Standard", epochs=1)
    assert train([*args, f"--{flag}"]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert MESSAGE in line
    assert not list(tmp_path.rglob("last.ckpt"))
