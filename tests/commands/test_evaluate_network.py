"""`robust evaluate NETWORK --data NAME`: networks that were trained elsewhere, as run folders."""

import shutil

import numpy as np
import pytest
import torch

from robust.commands.main import main
from robust.commands.options.evaluate import parse_options
from robust.results.records import read_evaluation
from tests.support.bars import Bars, bars
from tests.support.programs import exported, traced

SUITE = """
suite: tiny
threat_model: {norm: Linf, eps: 0.3}
attacks: {fgsm: {class_path: robust.attacks.FGSM}}
"""
MODELS = """
from torch import nn
class Network(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(hidden, 4))
    def forward(self, x):
        return self.layers(x)
def make(hidden=64):
    return Network(hidden)
"""
pytestmark = [
    pytest.mark.usefixtures("quiet"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    x, y = bars(count=40)
    array = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "bars.npz", x_train=array, y_train=y, x_test=array, y_test=y)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    (tmp_path / "ownmodels.py").write_text(MODELS)
    torch.save(Bars().state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBUST_TRUST")
    monkeypatch.syspath_prepend(str(tmp_path))


def evaluated(*words):
    return main(["evaluate", *words, "--data=bars.npz", "--suite=tiny.yaml", "-n", "12"])


def records(folder):
    (file,) = (folder / "records").glob("*.csv")
    return read_evaluation(file)


def predictions(folder):
    rows = records(folder).rows
    return rows["adv_pred"].tolist(), rows["clean_pred"].tolist()


def only_run(root):
    (folder,) = (path.parent for path in root.glob("runs/*/*/checkpoints"))
    return folder


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("name", ["ownmodels:Network", "ownmodels.Network", "ownmodels:make"])
def test_weights_become_a_run_that_is_evaluated_once(name, tmp_path, monkeypatch, capsys):
    arguments = ("w.pt", f"--network={name}", "--network.hidden", "64")
    assert evaluated(*arguments) == 0
    assert "w/" in capsys.readouterr().out
    folder = only_run(tmp_path)
    before = predictions(folder)
    monkeypatch.setattr("robust.evaluation.blocks.craft", lambda *_, **__: pytest.fail("again"))
    assert evaluated(*arguments) == 0
    assert predictions(only_run(tmp_path)) == before
    assert main(["evaluate", str(folder), "--suite=tiny.yaml", "-n", "12"]) == 2
    assert "add --trust ownmodels" in capsys.readouterr().err
    again = ["evaluate", str(folder), "--suite=tiny.yaml", "-n", "12", "--trust=ownmodels"]
    assert main(again) == 0


def test_programs_need_trust_and_give_the_same_records(tmp_path, capsys):
    traced(Bars(), torch.rand(2, 1, 8, 8)).save(str(tmp_path / "p.pt"))
    torch.export.save(exported(Bars(), torch.rand(3, 1, 8, 8)), "p.pt2")
    assert evaluated("w.pt", "--network=ownmodels:Network", "--output=weights") == 0
    capsys.readouterr()
    for file in ("p.pt", "p.pt2"):
        assert evaluated(file, f"--output=of_{file[2:]}") == 2
        assert f"--trust {file}" in capsys.readouterr().err
        assert not (tmp_path / f"of_{file[2:]}").exists()
        folder = tmp_path / f"of_{file[2:]}"
        shutil.copyfile(file, tmp_path / f"copy{file[1:]}")
        assert evaluated(file, f"--output={folder}", f"--trust=copy{file[1:]}") == 0
        assert predictions(folder) == predictions(tmp_path / "weights")
        assert main(["evaluate", str(folder), "--suite=tiny.yaml", f"--trust={file}"]) == 0


def test_a_program_that_was_exchanged_is_refused(tmp_path, capsys):
    torch.export.save(exported(Bars(), torch.rand(3, 1, 8, 8)), "p.pt2")
    assert evaluated("p.pt2", "--output=run", "--trust=p.pt2") == 0
    torch.export.save(exported(Bars(scale=2.0), torch.rand(3, 1, 8, 8)), "q.pt2")
    shutil.copyfile("q.pt2", tmp_path / "run" / "network.pt2")
    assert main(["evaluate", "run", "--suite=tiny.yaml", "--trust=q.pt2"]) == 2
    assert "there is another" in capsys.readouterr().err


def test_a_lightning_checkpoint_of_somebody_else(tmp_path):
    state = {f"model.{key}": value for key, value in Bars().state_dict().items()}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(4)}, "epoch": 3}, "theirs.ckpt")
    assert evaluated("theirs.ckpt", "--network=ownmodels:Network") == 0
    assert records(only_run(tmp_path)).notes[0].startswith("theirs.ckpt: 1 other values")


@pytest.mark.slow  # tests/outside has one too; loading it is tested with networks of ours
def test_a_torchvision_network_with_random_weights(tmp_path, capsys):
    random = torch.Generator().manual_seed(0)
    x = torch.randint(0, 255, (8, 32, 32, 3), dtype=torch.uint8, generator=random).numpy()
    y = torch.arange(8).numpy() % 4
    np.savez(tmp_path / "bars.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert evaluated("torchvision:mobilenet_v3_small", "--view=deployed") == 0
    captured = capsys.readouterr()
    assert "untrained" in captured.out
    assert "train mode" not in captured.err
    assert evaluated("torchvision:mobilenet_v3_small", "--view=deployed") == 0
    only_run(tmp_path)  # the same random weights
    assert evaluated("torchvision:mobilenet_v3_smal") == 2
    assert "Did you mean mobilenet_v3_small?" in capsys.readouterr().err


def test_wandb_has_a_run_of_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert evaluated("w.pt", "--network=ownmodels:Network") == 0
    folder = only_run(tmp_path)
    (run,) = (folder / "wandb").glob("offline-run-*")
    assert run.name.endswith(f"-{folder.name}-evaluate-tiny")


def test_another_network_in_the_same_folder_is_refused(tmp_path, capsys):
    assert evaluated("w.pt", "--network=ownmodels:Network", "--output=run") == 0
    torch.save(Bars(scale=2.0).state_dict(), tmp_path / "other.pt")
    assert evaluated("other.pt", "--network=ownmodels:Network", "--output=run") == 2
    assert "has the run of another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ww.pt", "--network=ownmodels:Network"], "no such file. Did you mean w.pt?"),
        (["w.pt"], "Give it with --network"),
        (["w.pt", "--network=ownmodels:Netwrk"], "Did you mean Network?"),
        (["w.pt", "--network=nomodels:Network"], "cannot"),
        (["w.pt", "--network=ownmodels:Network", "--network.hiden=3"], "hiden"),
        (["w.pt", "--network=ownmodels:Network", "--network.hidden=3"], "shape (4, 3)"),
        (["w.pt", "--network=ownmodels:Network", "--network.hidden"], "a value after"),
        (["w.pt", "--network=ownmodels"], "a class such as mymodels:CNN"),
        (["w.pt", "w.pt", "--network=ownmodels:Network"], "one network, but got 2"),
        (
            ["w.pt", "--network=ownmodels:Network", "--mean", ".1", ".2", "--std", "1"],
            "got 0.1, 0.2",
        ),
        (["w.pt", "--network=ownmodels:Network", "--mean", ".1"], "both `mean` and `std`"),
        (["w.pt", "--network=ownmodels:Network", "--attribute=layer"], "Did you mean layers?"),
        (["w.pt", "--network=ownmodels:Network", "--view-from=ownmodels:Network"], "a view that"),
        (["timm:", "-n", "3"], "a network after timm:"),
        (["cut.pt", "--network=ownmodels:Network"], "cut.pt, but it is truncated or damaged"),
        (["cut.pt"], "cut.pt, but it is truncated or damaged"),
        (["cut.pt2", "--trust=cut.pt2"], "cut.pt2, but it is truncated or damaged"),
        (["text.pt2", "--trust=text.pt2"], "an exported program at text.pt2, but got text."),
        (["w.pt", "--network=ownmodels:Network", "--key=nope"], "Leave --key out"),
        (["two.pt", "--network=ownmodels:Network", "--key=nope"], "Choose one of b, a."),
        (["color.pt", "--trust=color.pt"], "Given groups=1, weight of"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, message, tmp_path, capsys):
    complete = (tmp_path / "w.pt").read_bytes()
    for name in ("cut.pt", "cut.pt2"):
        (tmp_path / name).write_bytes(complete[: len(complete) // 2])
    (tmp_path / "text.pt2").write_text("no program")
    torch.save({"b": Bars().state_dict(), "a": Bars().state_dict()}, tmp_path / "two.pt")
    if words[0] == "color.pt":
        color = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8), torch.nn.Flatten())
        traced(color, torch.rand(2, 3, 8, 8)).save("color.pt")
    assert evaluated(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()[-1]) <= 300
    assert not (tmp_path / "runs").exists()


def test_a_network_needs_images(capsys):
    assert main(["evaluate", "w.pt", "--network=ownmodels:Network"]) == 2
    assert "Name them with --data" in capsys.readouterr().err


def test_output_with_a_suffix_is_the_table_and_without_one_the_run():
    base = ["w.pt", "--network=ownmodels:Network", "--data=bars.npz"]
    table, run = (parse_options([*base, f"--output={name}"]) for name in ("t.md", "mine"))
    assert (str(table.output), table.folder) == ("t.md", None)
    assert (run.output, str(run.folder)) == (None, "mine")
    assert parse_options(["w.ckpt", "--output=t"]).is_network is False


def test_a_weights_file_alone_goes_on_as_a_run(capsys):
    assert main(["evaluate", "w.pt"]) == 2
    assert "--network and --data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--mean", "0.1", "--std", "1"], "--mean"),
        (["--view-from=a:B"], "--view-from"),
        (["--network.hidden=3"], "--network.KEY"),
    ],
)
def test_a_run_has_its_own_network(words, flag, tmp_path, capsys):
    (tmp_path / "runs/a/b/checkpoints").mkdir(parents=True)
    assert main(["evaluate", "runs/a/b", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"elsewhere for {flag}, but got the run runs/a/b, which has its own" in line
