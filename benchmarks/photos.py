"""Peak memory of a complete evaluation is measured on images of a photo's size.

    python benchmarks/photos.py [--images 48] [--size 224] [--suite quick]

It makes a folder of noise that is as smooth as photos are, 32 pixels larger than ``--size``. The
last layer of a random ResNet-18 is fitted to it, so that all images are classified right and all
are attacked. Then `robust evaluate` attacks them in a process of its own, with one thread unless
``OMP_NUM_THREADS`` says otherwise. Printed are the peak of its resident memory, or of its largest
process, its CPU time and its exit status. Exit status 1 if that is not 0, or the peak is above 2
GiB.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# This process stays small, since Linux starts the peak of another one with that of its parent.
MOST_MIB = 2048
CLASSES = 8


class Measured(NamedTuple):
    """What a command needed, and how it ended."""

    mib: float
    seconds: float
    status: int


def measure(command: Sequence[str | Path], folder: Path) -> Measured:
    """Run a command in a folder, and return its peak memory in MiB, CPU seconds and exit status."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return Measured(usage.ru_maxrss / 1024, seconds, process.returncode)


def prepare(folder: Path, images: int, size: int) -> None:
    """Write ``val/CLASS/NUMBER.jpg`` and the weights ``w.pt`` that classify all of them."""
    import numpy as np
    import torch
    from PIL import Image

    from robust.data import ImageDataModule

    random = np.random.default_rng(0)
    for number in range(images):
        path = folder / "val" / str(number % CLASSES) / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_noise(random, size + 32)).save(path, quality=90)
    data = ImageDataModule(f"imagefolder:{folder / 'val'}", size=size, workers=0)
    torch.save(fitted(data), folder / "w.pt")


def smooth_noise(random, size: int):  # noqa: ANN001, ANN201
    """Return colours whose amplitudes fall with the frequency, as those of photos: uint8."""
    import numpy as np

    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    spectrum = np.fft.rfft2(random.standard_normal((3, size, size))) / (frequencies + 1 / size)
    noise = np.fft.irfft2(spectrum, s=(size, size)).transpose(1, 2, 0)
    return np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)


def fitted(data):  # noqa: ANN001, ANN201
    """Return weights of a random ResNet-18 whose last layer has least squares on these images."""
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(num_classes=CLASSES).eval()
    last, network.fc = network.fc, torch.nn.Identity()
    with torch.no_grad():
        batches = [(network(batch.x.float() / 255), batch.y) for batch in data.test_dataloader()]
        features, y = (torch.cat(parts).double() for parts in zip(*batches, strict=True))
        mean, scale = features.mean(dim=0), features.std()
        target = 10 * torch.eye(last.out_features, dtype=torch.float64)[y.long()] - 5
        weight = torch.linalg.pinv((features - mean) / scale) @ (target - target.mean(dim=0))
        last.weight.copy_(weight.T / scale)
        last.bias.copy_(target.mean(dim=0) - mean @ weight / scale)
    network.fc = last
    return network.state_dict()


def main() -> int:
    """Measure and print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--suite", default="quick")
    parser.add_argument("--prepare", type=Path, help="only make this folder; the command's own use")
    options = parser.parse_args()
    if options.prepare is not None:
        prepare(options.prepare, options.images, options.size)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = [f"--images={options.images}", f"--size={options.size}"]
        script = Path(__file__).resolve()
        subprocess.run([sys.executable, script, "--prepare", folder, *sizes], check=True)
        words = "evaluate torchvision:resnet18 --weights w.pt --data imagefolder:val"
        words += f" --size {options.size} --suite {options.suite}"
        words += f" --eps 4/255 -n {options.images}"
        found = measure([sys.executable, "-m", "robust", *words.split()], folder)
    print(f"| `robust {words}` | peak MiB | CPU s | exit status |")
    print("| --- | ---: | ---: | ---: |")
    print(f"| | {found.mib:.0f} | {found.seconds:.0f} | {found.status} |")
    return int(found.status != 0 or found.mib > MOST_MIB)


if __name__ == "__main__":
    sys.exit(main())
