"""A page of fifty large runs: how long it takes, and how large it is."""

import os
import random
import re
import resource
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace

import pytest
import yaml
from PIL import Image

from robust.results.record_files import RecordFile
from tests.support.factories import header, info, row
from tests.support.tiny import ROOT

RUNS, SAMPLES = 50, 1000
NETWORK = {"class_path": "robust.networks.TunaMnistCNN"}
MODELS = [
    {
        "class_path": "robust.defenses.Standard",
        "init_args": {"network": NETWORK, "loss": "cross_entropy"},
    },
    {
        "class_path": "robust.defenses.Squeezed",
        "init_args": {"network": NETWORK, "activation": "tanh"},
    },
]
"""Columns of Table I of Tuna et al. 2022, which the page has to show."""
ATTACKS = {
    **{f"pgd_{eps}": info("PGD", eps=eps, steps=20) for eps in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)},
    "fgsm": info(eps=0.2),
    "square": info("Square", eps=0.2),
    "cw": info("CW", norm="L2", eps=2.0, minimal=True),
    "ddn": info("DDN", norm="L2", eps=2.0, minimal=True),
    "deepfool": info("DeepFool", norm="L2", eps=5.0, minimal=True),
    "jsma": info("JSMA", norm="L0", eps=30.0, target="random"),
}


def attacked(draw):
    """A row of 1000 images under each attack through both views: 24,000."""
    for view in ("deployed", "adaptive"):
        for attack, how in ATTACKS.items():
            strength = draw.random()
            for index in range(SAMPLES):
                label, misclassified = index % 10, draw.random() < strength
                clean = label if index % 30 else 9 - label
                yield row(
                    index,
                    view=view,
                    attack=attack,
                    label=label,
                    clean=clean,
                    adv=(label + 3) % 10 if misclassified and clean == label else clean,
                    target=(label + 3) % 10 if how.target else -1,
                    linf=draw.random() * (how.eps if how.norm == "Linf" else 1),
                    l2=3 * draw.random(),
                    l0=float(draw.randrange(30)),
                    forwards=20 * draw.random(),
                    seconds=draw.random() / 100,
                )


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Runs of two defenses with records, two thousand logged steps and two figures each."""
    of_the_table = {"suite": "tuna2022_mnist_part1", "data": "mnist"}
    root, draw = tmp_path_factory.mktemp("many"), random.Random(0)
    logged = "".join(
        f"{step // 100},{step},{draw.random()},{draw.random() if step % 100 == 99 else ''}\n"
        for step in range(2000)
    )
    file = RecordFile(root, replace(header(**ATTACKS), **of_the_table))
    file.append(attacked(draw))
    file.merge()
    for i in range(RUNS):
        folder = root / "runs" / f"defense{i % 2}" / str(i)
        for name in ("records", "figures"):
            (folder / name).mkdir(parents=True)
        for path in (file.path, file.path.with_suffix(".json")):
            (folder / "records" / path.name).write_bytes(path.read_bytes())
        model = deepcopy(MODELS[i % 2])
        model["init_args"]["temperature"] = i + 1.0
        config = {"model": model, "data": {"class_path": "robust.data.ImageDataModule"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "metrics.csv").write_text(f"epoch,step,train/loss,val/clean_acc\n{logged}")
        for name in ("adversarials_pgd", "loss_surface"):
            Image.effect_noise((1200, 500), 50).save(folder / "figures" / f"{name}.png")
    return root / "runs"


@pytest.mark.slow
def test_fifty_large_runs_in_ten_seconds_and_five_megabytes(many, tmp_path):
    path = tmp_path / "report.html"
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "evaluate.py", "--report", str(many), "-o", str(path)]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    measured = f"{wall:.1f} s wall, {busy:.1f} s of CPU, {path.stat().st_size / 1e6:.2f} MB"
    print(measured)
    assert "damaged" not in ended.stderr  # or there would be nothing to count
    text = path.read_text()
    assert f"{RUNS} runs compared" in text
    assert "Tuna et al. 2022, Table I " in text
    assert text.count(", the one with most test images of 25 such runs, n = 1000") == 2
    assert len(re.findall(r"<tr [^>]*data-label=", text)) >= RUNS
    assert path.stat().st_size < 5_000_000
    assert busy < 20  # what two cores have in ten seconds
    if os.getloadavg()[0] < 2:  # on the clock where nothing else runs: its own load is about 1.5
        assert wall < 10
