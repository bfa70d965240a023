"""The benchmark of photos measures one process, whose network is right on all of its images."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from robust.data import ImageDataModule

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "photos.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_photos", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_images_are_classified_right(benchmark, tmp_path):
    benchmark.prepare(tmp_path, images=20, size=32)
    network = resnet18(num_classes=benchmark.CLASSES).eval()
    network.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    data = ImageDataModule(f"imagefolder:{tmp_path / 'val'}", size=32, workers=0)
    (batch,) = data.test_dataloader()
    assert batch.x.shape == (20, 3, 32, 32)
    with torch.no_grad():
        scores = network(batch.x.float() / 255)
    assert scores.argmax(dim=1).tolist() == batch.y.tolist() == sorted(i % 8 for i in range(20))


def test_smooth_noise_differs_little_from_pixel_to_pixel(benchmark, tmp_path):
    import numpy as np

    noise = benchmark.smooth_noise(np.random.default_rng(0), 64).astype(float)
    assert noise.shape == (64, 64, 3)
    assert 30 < noise.std() < 60
    # Between two independent values it would be 1.13.
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.75 * noise.std()


@pytest.mark.parametrize("mib", [200, 400])
def test_the_peak_and_the_exit_status_are_those_of_the_command(mib, tmp_path):
    """In a small process, as the benchmark's own is: a peak starts with the parent's."""
    code = f"import sys; b = bytearray({mib} << 20); b[::4096] = b[::4096]; del b; sys.exit(3)"
    script = f"import photos; print(*photos.measure(['{sys.executable}', '-c', {code!r}], '.'))"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    words = [sys.executable, "-c", script]
    made = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    peak, _, status = map(float, made.stdout.split())
    assert mib < peak < mib + 60
    assert status == 3


@pytest.mark.slow
def test_a_tiny_evaluation():
    words = [sys.executable, SCRIPT, "--images=8", "--size=32"]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert re.search(r"resnet18/\w+ +deployed +100\.0", made.stdout), made.stdout
    peak, status = re.search(r"^\| \| (\d+) \| \d+ \| (\d+) \|$", made.stdout, re.M).groups()
    assert 300 < int(peak) < 2048
    assert int(status) == 0
