"""A folder with a small valid input of every kind, made once and copied for each mutated one."""

import json
import shutil
from pathlib import Path

import numpy as np

from tests.fuzz.zygote import ROOT, Zygote
from tests.support.data_files import write_npz

CONFIG = """
model:
  class_path: robust.defenses.Standard
  init_args:
    network:
      class_path: robust.networks.MLP
      init_args: {num_classes: 3, in_features: 64, hidden: 8}
data: {class_path: robust.data.ImageDataModule, init_args: {dataset: tern.npz, batch_size: 16}}
evaluation:
  suite: s
  threat_model: {norm: Linf, eps: 8/255}
  attacks:
    fgsm: {class_path: torchattacks.FGSM, init_args: {eps: 8/255}}
    pgd: {class_path: robust.attacks.PGD, init_args: {eps: 8/255, steps: 2}}
  limit: 12
  block: 6
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}
run: {root: runs}
"""
SUITE = """
suite: s
threat_model: {norm: Linf, eps: 0.1}
threat_models: {ddn: {norm: L2, eps: 1.0}}
targets: {pgd: 1}
attacks:
  fgsm: {class_path: torchattacks.FGSM, init_args: {eps: 0.1}}
  pgd: {class_path: robust.attacks.PGD, init_args: {eps: 0.1, steps: 2}}
  ddn: {class_path: robust.attacks.DDN, init_args: {steps: 2}}
limit: 12
block: 6
seed: 0
views: [deployed, published, adaptive]
"""
TABLE = """
title: A paper, Table 1
metric: robust accuracy
suite: ../suite.yaml
adaptive_suite: ../suite.yaml
columns:
  standard: {class_path: robust.defenses.Standard, init_args: {loss: cross_entropy}}
  squeezed: {class_path: robust.defenses.Squeezed, init_args: {activation: tanh}}
clean_acc: {standard: 99.1, squeezed: 98.7}
rows:
  FGSM: {attack: fgsm, adaptive: [fgsm, pgd], published: {standard: 9.75, squeezed: 0.38}}
  PGD: {attack: pgd, published: {standard: 1.5}}
"""
MEASURED = """
title: A paper, Table 2
metric: robustness
view: published
columns:
  standard: {class_path: robust.defenses.Standard, data: {init_args: {augmentation: null}}}
rows:
  accuracy, %: {measure: accuracy, published: {standard: 52.07}}
  training-set distance: {measure: distance, published: {standard: 3.9}}
"""
SWEEP = """
program: toy.py
name: toy
method: grid
metric: {name: val/clean_acc, goal: maximize}
parameters:
  x: {values: [0.1, 0.3]}
  y.z: {value: tanh}
command: ["${interpreter}", "${program}", "${args}"]
"""
SEARCH = """
program: toy.py
name: found
method: bayes
run_cap: 2
metric: {name: val/clean_acc, goal: maximize}
early_terminate: {type: hyperband, min_iter: 1, eta: 3}
parameters:
  x: {distribution: uniform, min: 0.0, max: 1.0}
  seed_everything: {values: [0, 1]}
command: ["${interpreter}", "${program}", "${args}"]
"""
FIT = ["fit", "--config=mlp.yaml"]
EVALUATE = ["runs/standard/a", "--suite=suite.yaml"]


def build(folder: Path, zygote: Zygote) -> Path:
    """Fill a folder; two runs are trained and attacked, and a sweep is run, by our commands."""
    write_inputs(folder)
    squeezed = ["--model=robust.defenses.Squeezed", "--model.activation=tanh"]
    _must(zygote, "train.py", [*FIT, "--run.name=standard", "--run.id=a"], folder)
    _must(zygote, "train.py", [*FIT, *squeezed, "--run.name=squeezed", "--run.id=a"], folder)
    _must(zygote, "evaluate.py", EVALUATE, folder)
    _must(zygote, "sweep", ["sweep.yaml", "--trust-command"], folder)
    _must(zygote, "evaluate.py", ["--report", "runs", "-o", "old.html"], folder)
    return folder


def write_inputs(folder: Path) -> None:
    """Make a folder with the inputs that no command of ours wrote."""
    folder.mkdir(parents=True)
    texts = {
        "mlp.yaml": CONFIG,
        "suite.yaml": SUITE,
        "tables/table.yaml": TABLE,
        "tables/measured.yaml": MEASURED,
        "sweep.yaml": SWEEP,
        "search.yaml": SEARCH,
        "tables.md": "an old table\n",
        "elsewhere.txt": "what no command may touch\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.lstrip())
    shutil.copy(ROOT / "tests" / "support" / "sweep_toy.py", folder / "toy.py")
    write_npz(folder / "tern.npz", shape=(8, 8), n_train=48, n_test=12)
    _write_idx(folder / "data" / "MNIST" / "raw")


def _write_idx(folder: Path) -> None:
    """MNIST's four files, of 20 and 10 images."""
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    for part, n in (("train", 20), ("t10k", 10)):
        x, y = random.randint(0, 256, (n, 28, 28)), np.arange(n) % 10
        for kind, magic, array in (("images-idx3", 2051, x), ("labels-idx1", 2049, y)):
            head = np.array([magic, *array.shape], dtype=">i4").tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())


def _must(zygote: Zygote, program: str, args: list[str], folder: Path) -> None:
    outcome = zygote.run(program, args, folder, seconds=300)
    assert outcome.code == 0, json.dumps([program, args, outcome.out, outcome.err])
