"""An evaluation starts at once: what it does not need before its first attack is not imported."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from robust.io.deferred import deferred
from robust.tracking import LateLoggers
from tests.support.bars import Bars, bars

MODELS = """
import json
import sys
import time
from torch import nn
from robust.attacks import FGSM
class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 4))
class Stamp(FGSM):
    def forward(self, images, labels):
        there = [name for name in ("wandb", "scipy.stats", "scipy.signal") if name in sys.modules]
        print(json.dumps([time.process_time(), there]))
        return super().forward(images, labels)
"""
SUITE = """
suite: stamped
threat_model: {norm: Linf, eps: 0.1}
views: [deployed]
attacks: {stamp: {class_path: startmodels.Stamp}}
"""
RATIO = 3.0
"""Of the CPU time until the first attack to that of `import torch`, which is 2.5 s here."""


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    (tmp_path / "slow_one.py").write_text("def double(x):\n    return 2 * x\nname = 'slow'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "slow_one"
    sys.modules.pop("slow_one", None)


def test_a_deferred_module_is_imported_once_something_of_it_is_used(slow_module):
    with deferred({slow_module: ["double"]}):
        import slow_one as early
        from slow_one import double

        assert hasattr(early, "double")
        assert not hasattr(early, "__file__")
    assert slow_module not in sys.modules
    assert double(2) == 4  # a function that was taken by its name
    assert sys.modules[slow_module].__file__
    assert early.name == "slow"


def test_a_name_that_is_asked_for_imports_a_deferred_module(slow_module):
    with deferred({slow_module: []}):
        from slow_one import name

        assert name == "slow"
        assert sys.modules[slow_module].__file__


def test_what_is_imported_already_is_not_deferred(slow_module):
    import slow_one

    with deferred({slow_module: []}):
        assert sys.modules[slow_module] is slow_one
    assert sys.modules[slow_module] is slow_one


def test_loggers_begin_after_the_set_up(tmp_path, quiet):
    begun = []

    class Late(CSVLogger):
        @property
        def experiment(self):
            begun.append("logger")
            return super().experiment

    class Module(LightningModule):
        def test_step(self, batch):
            begun.append("step")
            self.log("number", 1.0)

    logger = Late(str(tmp_path))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[LateLoggers([logger])],
        enable_checkpointing=False,
    )
    loader = torch.utils.data.DataLoader(torch.zeros(1, 1))
    trainer.test(Module(), loader, verbose=False)
    assert begun[0] == "step"
    assert "logger" in begun
    logger.save()
    assert "number" in next(tmp_path.rglob("metrics.csv")).read_text()


@pytest.mark.slow
def test_the_first_attack_begins_three_times_as_late_as_torch(tmp_path):
    x, y = bars(count=40)
    array = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "bars.npz", x_test=array, y_test=y)
    (tmp_path / "stamped.yaml").write_text(SUITE)
    (tmp_path / "startmodels.py").write_text(MODELS)
    torch.save(Bars().state_dict(), tmp_path / "w.pt")
    words = ["w.pt", "--network=startmodels:Network", "--data=bars.npz", "--suite=stamped.yaml"]
    words += ["--trust=startmodels", "-n", "8"]
    of_torch = "import time, torch; print(time.process_time())"
    torchs, ours = [], []
    for _ in range(3):  # in turn, since a machine is not always as fast
        torchs.append(float(_printed(tmp_path, "-c", of_torch).splitlines()[-1]))
        printed = _printed(tmp_path, "-m", "robust", "evaluate", *words, f"--output=run{len(ours)}")
        seconds, there = json.loads(next(line for line in printed.splitlines() if line[:1] == "["))
        assert there == []
        ours.append(seconds)
    print(f"CPU s until the first attack {min(ours):.2f}, of `import torch` {min(torchs):.2f}")
    assert min(ours) < RATIO * min(torchs)


def _printed(folder, *words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
