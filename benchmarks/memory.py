"""Peak memory is measured for each of our attacks on 512 images of CIFAR-10's size.

    python benchmarks/memory.py [--images 512] [--only PGD]

Each has its own process with the CIFAR-10 network of Tuna et al. 2022. Few steps suffice, since
memory does not grow with them. Printed are all resident memory of the process, with PyTorch and
what the allocator keeps, and how much the attack added. Exit status 1 if one adds more than 2 GiB.
"""

import argparse
import multiprocessing
import resource
import sys
from collections.abc import Callable

import torch
from torch import nn
from torchattacks.attack import Attack

from robust import attacks
from robust.attacks import craft
from robust.commands.process import keep_freed_memory
from robust.networks import TunaCifarCNN

MOST_MIB = 2048
EPS = 2 / 255

ATTACKS: dict[str, Callable[[nn.Module], Attack]] = {
    "FGSM": lambda m: attacks.FGSM(m, EPS),
    "PGD": lambda m: attacks.PGD(m, EPS, steps=3),
    "PGD bfloat16": lambda m: attacks.PGD(m, EPS, steps=3, precision="bfloat16"),
    "MIFGSM": lambda m: attacks.MIFGSM(m, EPS, steps=3),
    "APGD": lambda m: attacks.APGD(m, EPS, steps=5),
    "AutoAttack": lambda m: attacks.AutoAttack(m, EPS, steps=2, targets=2, queries=3),
    "DeepFool": lambda m: attacks.DeepFool(m, steps=2),
    "CarliniWagner": lambda m: attacks.CarliniWagner(m, search_steps=2, steps=2),
    "DDN": lambda m: attacks.DDN(m, steps=3),
    "LBFGS": lambda m: attacks.LBFGS(m, search_steps=2, steps=3),
    "JSMA": lambda m: attacks.JSMA(m, gamma=0.002),
    "SinglePixel": lambda m: attacks.SinglePixel(m, max_pixels=3),
    "AdditiveGaussianNoise": lambda m: attacks.AdditiveGaussianNoise(m, levels=3),
    "AdditiveUniformNoise": lambda m: attacks.AdditiveUniformNoise(m, levels=3),
    "BoundaryAttack": lambda m: attacks.BoundaryAttack(m, 5, starts=2, blend_levels=3),
    "HopSkipJump": lambda m: attacks.HopSkipJump(m, iterations=1, starts=2),
    "Square": lambda m: attacks.Square(m, eps=EPS, queries=3),
}


def peak(name: str, images: int) -> tuple[float, float]:
    """Return the peak MiB of a process before it ran the attack, and after it."""
    keep_freed_memory()
    torch.manual_seed(0)
    network = TunaCifarCNN().to(memory_format=torch.channels_last).eval()
    x = torch.rand(images, 3, 32, 32)
    with torch.no_grad():
        y = torch.cat([network(part).argmax(dim=1) for part in x.split(128)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    craft(ATTACKS[name], network, x, y, target=(y + 1) % 10 if name == "JSMA" else None)
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--only", default="", help="attacks whose name begins so")
    options = parser.parse_args()
    names = [name for name in ATTACKS if name.startswith(options.only)]
    print(f"| attack, {options.images} images | process, MiB | added, MiB |")
    print("| --- | ---: | ---: |")
    most = 0.0
    # One attack a process: a peak never falls.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in names:
            before, after = pool.apply(peak, (name, options.images))
            most = max(most, after - before)
            print(f"| {name} | {after:.0f} | {after - before:.0f} |", flush=True)
    return int(most > MOST_MIB)


if __name__ == "__main__":
    sys.exit(main())
